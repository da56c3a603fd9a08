{{- define "service.serviceaccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  labels: {{- include "service.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- end -}}
