{{/* What things are called, and the labels by which they find each other. */}}

{{- define "ouro.fullname" -}}
{{- $both := printf "%s-%s" .Release.Name .Chart.Name -}}
{{- $name := ternary .Release.Name $both (contains .Chart.Name .Release.Name) -}}
{{- .Values.fullnameOverride | default $name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "ouro.serviceAccount" -}}
{{- $own := ternary (include "ouro.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $own -}}
{{- end }}

{{/* Of all pods. */}}
{{- define "ouro.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of everything. (root, part) */}}
{{- define "ouro.labels" -}}
{{ include "ouro.selector" .root }}
app.kubernetes.io/component: {{ .part }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The DNS name that makes a certificate one of a role: this, after the role and a dot. */}}
{{- define "ouro.domain" -}}
{{- .Values.tls.domain | default (printf "%s.%s.ouro.internal" .Values.cluster.name .Release.Namespace) -}}
{{- end }}

{{/* The Secret with the certificate of a role. (root, role) */}}
{{- define "ouro.tlsSecret" -}}
{{- if eq .root.Values.tls.mode "certManager" -}}
{{ include "ouro.fullname" .root }}-{{ .role }}-tls
{{- else -}}
{{- $missing := printf "tls.secrets.%s: name the Secret with ca.crt, tls.crt and tls.key" .role -}}
{{- get .root.Values.tls.secrets .role | required $missing -}}
{{- end -}}
{{- end }}

{{/* The StatefulSets of ingesters, as JSON: name, zone ("" for none) and replicas of each. */}}
{{- define "ouro.ingesters" -}}
{{- $name := printf "%s-ingester" (include "ouro.fullname" .) -}}
{{- $zones := .Values.ingester.zones | default (list "") -}}
{{- $all := int .Values.ingester.replicas -}}
{{- $sets := list -}}
{{- range $i, $zone := $zones -}}
{{- $set := dict "name" (list $name $zone | compact | join "-") "zone" $zone -}}
{{- $more := ternary 1 0 (lt $i (mod $all (len $zones) | int)) -}}
{{- $sets = append $sets (set $set "replicas" (add (div $all (len $zones)) $more)) -}}
{{- end -}}
{{- toJson $sets -}}
{{- end }}

{{/* The ingesters that begin the control group, as JSON: the first of each zone, then the second of each … Zones have
     as many ingesters as the next one or one more, so all of these are there if there are as many ingesters. */}}
{{- define "ouro.control" -}}
{{- $sets := include "ouro.ingesters" . | fromJsonArray -}}
{{- $names := list -}}
{{- range $n := until (int .Values.ingester.control) -}}
{{- range $set := $sets -}}
{{- $names = append $names (printf "%s-%d" $set.name $n) -}}
{{- end -}}
{{- end -}}
{{- slice $names 0 (int .Values.ingester.control) | toJson -}}
{{- end }}
