{{/* Whether the service has an EventPublisher: `publisher: {}` says so. Empty for no. */}}
{{- define "service.publishes" -}}
{{- if kindIs "map" .values.publisher }}yes{{ end -}}
{{- end -}}

{{- define "service.publisher" -}}
{{- if include "service.publishes" . -}}
{{- if .values.subscriptions }}
{{- fail (printf "services.%s: a service that subscribes publishes by the binding of its subscription: leave publisher out" .name) }}
{{- end -}}
apiVersion: warren.events/v1alpha1
kind: EventPublisher
metadata:
  name: {{ .name | quote }}
  labels: {{- include "service.labels" . | nindent 4 }}
spec: {{- toYaml .values.publisher | nindent 2 }}
{{- end -}}
{{- end -}}
