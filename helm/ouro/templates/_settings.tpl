{{/* The settings file of a service, or of the single pod. */}}

{{/* What no schema can say. */}}
{{- define "ouro.check" -}}
{{- if eq .Values.mode "cluster" -}}
{{- $_ := required "objects.url: a cluster needs one, for example s3://bucket/prefix" .Values.objects.url -}}
{{- $ingester := .Values.ingester -}}
{{- $asked := dict "replication" $ingester.replication "control" $ingester.control "zones" (len $ingester.zones) -}}
{{- range $key, $count := $asked -}}
{{- $count = int $count -}}
{{- if gt $count (int $ingester.replicas) -}}
{{- fail (printf "ingester.%s asks for %d ingesters, ingester.replicas is %v" $key $count $ingester.replicas) -}}
{{- end -}}
{{- end -}}
{{- range $set := include "ouro.ingesters" . | fromJsonArray -}}
{{- if gt (len $set.name) 52 -}}
{{- fail (printf "the StatefulSet's name %s has more than 52 characters: set a shorter fullnameOverride" $set.name) -}}
{{- end -}}
{{- end -}}
{{- $map := lookup "v1" "ConfigMap" .Release.Namespace (printf "%s-ingester" (include "ouro.fullname" .)) -}}
{{- $was := dig "data" "ouro.yaml" "" $map | fromYaml | dig "ingester" "placement" "control" list -}}
{{- if and $was (ne (toJson $was) (include "ouro.control" .)) -}}
{{- fail (printf "the control group of this cluster was begun by %v: leave ingester.control and ingester.zones as they were, or these values may begin a second one" $was) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* (root, role) */}}
{{- define "ouro.settings" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- include "ouro.check" $root -}}
{{- $settings := dict "listen" "0.0.0.0:3100" "log" (dict "format" "json") -}}
{{- if ne .role "single" -}}
{{- $seed := printf "%s-members:4100" (include "ouro.fullname" $root) -}}
{{- $_ := set $settings "cluster" (dict "name" $values.cluster.name "listen" "0.0.0.0:4100" "seeds" (list $seed)) -}}
{{- $names := list -}}
{{- range $role := list "distributor" "ingester" "querier" "compactor" "ruler" -}}
{{- $names = append $names (dict "dns" (printf "%s.%s" $role (include "ouro.domain" $root)) "role" $role) -}}
{{- end -}}
{{- $files := dict "ca" "/etc/ouro/tls/ca.crt" "certificate" "/etc/ouro/tls/tls.crt" "key" "/etc/ouro/tls/tls.key" -}}
{{- $_ := set $settings "tls" (set $files "names" $names) -}}
{{- end -}}
{{- if ne .role "ruler" -}}
{{- $_ := set $settings "limits" $values.limits -}}
{{- with $values.tenants -}}
{{- $_ := set $settings "tenants" . -}}
{{- end -}}
{{- end -}}
{{- if and (include "ouro.stores" .role) $values.objects.url -}}
{{- $_ := set $settings "objects" (dict "url" $values.objects.url "options" $values.objects.options) -}}
{{- end -}}
{{- if include "ouro.keeps" .role -}}
{{- $_ := set $settings "data" "/data" -}}
{{- end -}}
{{- if eq .role "ingester" -}}
{{- $control := include "ouro.control" $root | fromJsonArray -}}
{{- $placement := dict "control" $control "replicas" $values.ingester.replication -}}
{{- $_ := set $settings "ingester" (dict "placement" $placement) -}}
{{- end -}}
{{- if and (include "ouro.rules" .role) $values.ruler.rules -}}
{{- $_ := set $settings "ruler" (dict "folder" "/etc/ouro/rules") -}}
{{- end -}}
{{- mergeOverwrite (deepCopy $settings) (deepCopy (get $values .role).settings) | toYaml -}}
{{- end }}

{{/* Which roles use the object store, have a volume, evaluate rules: not empty if so. */}}
{{- define "ouro.stores" -}}
{{- if has . (list "ingester" "querier" "compactor" "single") }}yes{{ end -}}
{{- end }}
{{- define "ouro.keeps" -}}
{{- if has . (list "ingester" "single") }}yes{{ end -}}
{{- end }}
{{- define "ouro.rules" -}}
{{- if has . (list "ruler" "single") }}yes{{ end -}}
{{- end }}
