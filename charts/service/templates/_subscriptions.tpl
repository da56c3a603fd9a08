{{- define "service.subscriptions" -}}
{{- $service := . }}
{{- range $name, $spec := .values.subscriptions }}
---
apiVersion: warren.events/v1alpha1
kind: EventSubscription
metadata:
  name: {{ $name | quote }}
  labels: {{- include "service.labels" $service | nindent 4 }}
spec:
  consumer: { kind: Deployment, name: {{ $service.name | quote }} }
  {{- toYaml (omit $spec "consumer") | nindent 2 }}
{{- end }}
{{- end -}}
