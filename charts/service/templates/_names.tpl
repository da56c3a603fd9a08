{{/*
Every template takes one service as a dict:
  root   the context of the chart ($)
  name   the service, and the name of everything that is made for it
  values the library's values under the service's own entry
*/}}

{{/*
The services that are enabled, as JSON: name -> values. What an entry says takes the place of what all services have; further
rules of its network policy come to theirs.
*/}}
{{- define "service.all" -}}
{{- $defaults := omit .Values.service "global" -}}
{{- $all := dict -}}
{{- range $name, $entry := .Values.services -}}
{{- $values := mustMergeOverwrite (deepCopy $defaults) (deepCopy ($entry | default dict)) -}}
{{- $own := ($entry | default dict).networkPolicy | default dict -}}
{{- range $further := list "ingress" "egress" -}}
{{- $_ := set $values.networkPolicy $further (concat (get $defaults.networkPolicy $further | default list) (get $own $further | default list)) -}}
{{- end -}}
{{- if $values.enabled -}}{{- $_ := set $all $name $values -}}{{- end -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{- define "service.selector" -}}
app.kubernetes.io/name: {{ .name | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- end -}}

{{/* The labels of a pod do not name the version of the chart: a new one alone must not restart anything. */}}
{{- define "service.podLabels" -}}
{{ include "service.selector" . }}
app.kubernetes.io/component: service
app.kubernetes.io/part-of: {{ .root.Chart.Name | quote }}
{{- end -}}

{{- define "service.labels" -}}
{{ include "service.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* A digest says what runs; a tag only what it was called. */}}
{{- define "service.image" -}}
{{- $image := .values.image -}}
{{- $repository := $image.repository | default (printf "warren/%s" .name) -}}
{{- with $image.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The bindings that the service gets, as a JSON list: of its subscriptions or its publisher, and those that are made elsewhere. */}}
{{- define "service.bindings" -}}
{{- $own := keys .values.subscriptions -}}
{{- if include "service.publishes" . }}{{ $own = append $own .name }}{{ end -}}
{{- concat $own .values.bindings | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* The Secret that the operator writes for a subscription, or for a publisher. */}}
{{- define "service.bindingSecret" -}}
{{- printf "%s-binding" . -}}
{{- end -}}

{{/* The value of an environment variable. A number is written out: a million is not 1e+06. */}}
{{- define "service.variable" -}}
{{- ternary . (toJson .) (kindIs "string" .) | quote -}}
{{- end -}}
