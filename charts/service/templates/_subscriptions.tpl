{{- define "service.subscriptions" -}}
{{- $service := . }}
{{- range $name, $spec := .values.subscriptions }}
{{- if hasKey $spec "consumer" }}
{{- fail (printf "services.%s.subscriptions.%s.consumer: it is the service itself: leave it out" $service.name $name) }}
{{- end }}
---
apiVersion: warren.events/v1alpha1
kind: EventSubscription
metadata:
  name: {{ $name | quote }}
  labels: {{- include "service.labels" $service | nindent 4 }}
spec:
  consumer: { kind: Deployment, name: {{ $service.name | quote }} }
  {{- toYaml $spec | nindent 2 }}
{{- end }}
{{- end -}}
