{{- define "service.poddisruptionbudget" -}}
{{- if .values.podDisruptionBudget.enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name | quote }}
  labels: {{- include "service.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow # a pod that is not ready must not hold up a drain
  selector:
    matchLabels: {{- include "service.selector" . | nindent 6 }}
{{- end -}}
{{- end -}}
