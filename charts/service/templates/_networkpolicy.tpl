{{- define "service.networkpolicy" -}}
{{- $policy := .values.networkPolicy }}
{{- if $policy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name | quote }}
  labels: {{- include "service.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "service.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports: [{ port: http }]
      from:
        - podSelector: {}
        {{- range $policy.from }}
        - namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: {{ . | quote }} } }
        {{- end }}
    {{- with $policy.ingress }}{{ toYaml . | nindent 4 }}{{ end }}
  egress:
    - ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
    {{- with $policy.egressPorts }}
    - ports:
        {{- range . }}
        - port: {{ . }}
        {{- end }}
    {{- end }}
    {{- with $policy.egress }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end -}}
{{- end -}}
