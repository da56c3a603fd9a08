{{- define "warren.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "warren.selector" -}}
app.kubernetes.io/name: warren-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The labels of a pod do not name the version of the chart: a new one alone must not restart anything. */}}
{{- define "warren.podLabels" -}}
{{ include "warren.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: warren
{{- end -}}

{{- define "warren.labels" -}}
{{ include "warren.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "warren.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "warren.name" . -}}
{{- else -}}
{{- fail "serviceAccount.create is false: say in serviceAccount.name which one there is" -}}
{{- end -}}
{{- end -}}

{{/* A digest says what runs; a tag only what it was called. */}}
{{- define "warren.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with .Values.image.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The value of an environment variable. A number is written out: a million is not 1e+06. */}}
{{- define "warren.variable" -}}
{{- ternary . (toJson .) (kindIs "string" .) | quote -}}
{{- end -}}

{{- define "warren.watched" -}}
{{- .Values.scope.namespace | default .Release.Namespace -}}
{{- end -}}

{{/* Reading, handing out bindings and telling stories: what the operator does where the subscriptions are. */}}
{{- define "warren.workRules" -}}
- apiGroups: [warren.events]
  resources: [eventsubscriptions, eventpublishers]
  verbs: [get, list, watch, patch] # patch: the finalizer
- apiGroups: [warren.events]
  resources: [eventsubscriptions/status, eventpublishers/status]
  verbs: [patch]
- apiGroups: [warren.events]
  resources: [eventsubscriptions/finalizers, eventpublishers/finalizers]
  verbs: [update] # to own the binding Secret where the API server asks for this right
- apiGroups: ['']
  resources: [secrets]
  verbs: [get, list, watch, create, patch] # the bindings
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.scaling.enabled }}
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch] # how many replicas a consumer has
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch] # to zero and from zero, which an autoscaler cannot do
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- end -}}
