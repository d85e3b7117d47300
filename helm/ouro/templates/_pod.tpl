{{/* The pods of all services. */}}

{{/* (root, role, zone: "" for none) */}}
{{- define "ouro.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $service := get $values .role -}}
{{- $pod := mergeOverwrite (deepCopy $values.pod) (deepCopy $service.pod) -}}
{{- $member := ne .role "single" -}}
{{- $stores := include "ouro.stores" .role -}}
{{- $rules := ternary $values.ruler.rules dict (eq (include "ouro.rules" .role) "yes") -}}
{{- $ca := and $stores (or $values.objects.ca.configMap $values.objects.ca.secret) -}}
metadata:
  annotations:
    # Settings and rules are read at the start.
    ouro/settings: {{ list (include "ouro.settings" .) $rules | toJson | sha256sum }}
    {{- with $pod.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "ouro.labels" (dict "root" $root "part" .role) | nindent 4 }}
    {{- with .zone }}
    ouro/zone: {{ . | quote }}
    {{- end }}
    {{- with $pod.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "ouro.serviceAccount" $root }}
  automountServiceAccountToken: false
  # Variables named after Services would be taken for settings: OURO_PUSH_PORT and the like.
  enableServiceLinks: false
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $pod.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- $nodes := ternary (dict "topology.kubernetes.io/zone" .zone) dict (ne .zone "") }}
  {{- with mergeOverwrite (deepCopy $pod.nodeSelector) $nodes }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $pod.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $member }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ $key }}
      maxSkew: 1
      {{- if and (eq $.role "ingester") (eq $key "kubernetes.io/hostname") }}
      # Two ingesters on one node would be lost together.
      whenUnsatisfiable: DoNotSchedule
      nodeTaintsPolicy: Honor
      {{- else }}
      whenUnsatisfiable: ScheduleAnyway
      {{- end }}
      labelSelector:
        matchLabels:
          {{- include "ouro.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $.role }}
    {{- end }}
  {{- end }}
  # An ingester hands over what it leads, the others finish what they were asked.
  terminationGracePeriodSeconds: {{ ternary 120 60 (eq (include "ouro.keeps" .role) "yes") }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: ouro
      image: {{ $values.image.repository }}:{{ $values.image.tag | default $root.Chart.AppVersion }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: {{ concat (ternary (list "run" .role) list $member) (list "--config" "/etc/ouro/ouro.yaml") | toJson }}
      {{- if or $member $ca $pod.env }}
      env:
        {{- if $member }}
        - name: OURO_CLUSTER__MEMBER
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: POD_IP
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        - name: OURO_CLUSTER__ADVERTISE
          value: $(POD_IP):4100
        - name: OURO_CLUSTER__ZONE
          {{- if .zone }}
          # In quotes of its own, or a zone called 1 would be a number.
          value: {{ .zone | quote | quote }}
          {{- else }}
          valueFrom:
            fieldRef:
              # The node's address rather than its name, which may be longer than a zone's.
              {{- $fields := dict "node" "status.hostIP" "label" "metadata.labels['topology.kubernetes.io/zone']" }}
              fieldPath: {{ get $fields $values.ingester.zoneFrom }}
          {{- end }}
        {{- end }}
        {{- if $ca }}
        - name: SSL_CERT_FILE
          value: /etc/ssl/certs/ca-certificates.crt
        - name: SSL_CERT_DIR
          value: /etc/ouro/ca
        {{- end }}
        {{- with $pod.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- if and $stores $values.objects.secret }}
      envFrom:
        - prefix: OURO_OBJECTS__OPTIONS__
          secretRef:
            name: {{ $values.objects.secret }}
      {{- end }}
      ports:
        - name: http
          containerPort: 3100
        {{- if $member }}
        - name: members
          containerPort: 4100
        {{- end }}
      # The port opens when the log on disk is open, which takes as long as the log is long.
      startupProbe:
        tcpSocket:
          port: http
        periodSeconds: 5
        failureThreshold: 360
      readinessProbe:
        httpGet:
          path: /ready
          port: http
        periodSeconds: 5
        timeoutSeconds: 3
      # No livenessProbe: a process whose part panics ends by itself, and one that is only slow would be slower still
      # after it was killed and read its log anew.
      {{- if has .role (list "distributor" "querier") }}
      lifecycle:
        preStop:
          # Until no Service leads here any more.
          sleep:
            seconds: 5
      {{- end }}
      resources:
        {{- toYaml $service.resources | nindent 8 }}
      securityContext:
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: settings
          mountPath: /etc/ouro
          readOnly: true
        {{- if include "ouro.keeps" .role }}
        - name: data
          mountPath: /data
        {{- end }}
  volumes:
    # One volume, so that all files of a certificate change in the same moment.
    - name: settings
      projected:
        defaultMode: 0440
        sources:
          - configMap:
              name: {{ include "ouro.fullname" $root }}-{{ .role }}
              items:
                - key: ouro.yaml
                  path: ouro.yaml
                {{- range $i, $tenant := keys $rules | sortAlpha }}
                - key: rules-{{ $i }}.yaml
                  path: {{ printf "rules/%s/rules.yaml" $tenant | quote }}
                {{- end }}
          {{- if $member }}
          - secret:
              name: {{ include "ouro.tlsSecret" . }}
              items:
                {{- range $file := list "ca.crt" "tls.crt" "tls.key" }}
                - key: {{ $file }}
                  path: tls/{{ $file }}
                {{- end }}
          {{- end }}
          {{- if $ca }}
          - {{ ternary "configMap" "secret" (ne $values.objects.ca.configMap "") }}:
              name: {{ $values.objects.ca.configMap | default $values.objects.ca.secret }}
              items:
                - key: {{ $values.objects.ca.key }}
                  path: ca/objects.crt
          {{- end }}
{{- end }}
