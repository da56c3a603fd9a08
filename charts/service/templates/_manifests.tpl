{{/* Everything that a service is, for each enabled service of the chart: {{ include "service.manifests" . }} */}}
{{- define "service.manifests" -}}
{{- range $name, $values := include "service.all" . | fromJson }}
{{- $service := dict "root" $ "name" $name "values" $values }}
{{- range list "serviceaccount" "subscriptions" "publisher" "deployment" "service" "poddisruptionbudget" "networkpolicy" "servicemonitor" }}
{{- with include (printf "service.%s" .) $service | trim }}
---
{{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
