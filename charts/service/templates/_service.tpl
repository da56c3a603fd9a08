{{- define "service.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name | quote }}
  labels: {{- include "service.labels" . | nindent 4 }}
  {{- with .values.service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector: {{- include "service.selector" . | nindent 4 }}
  ports:
    - { name: http, port: {{ .values.service.port }}, targetPort: http }
{{- end -}}
