{{- define "service.servicemonitor" -}}
{{- $monitor := .values.serviceMonitor }}
{{- if $monitor.enabled -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ .name | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
    {{- with $monitor.labels }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  selector:
    matchLabels: {{- include "service.selector" . | nindent 6 }}
  endpoints:
    # The metrics name their service: they know better than the target.
    - { port: http, path: /metrics, interval: {{ $monitor.interval }}, honorLabels: true }
{{- end -}}
{{- end -}}
