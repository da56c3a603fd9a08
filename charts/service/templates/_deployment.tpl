{{- define "service.deployment" -}}
{{- $values := .values }}
{{- $bindings := include "service.bindings" . | fromJsonArray }}
{{- $scaled := $values.autoscaled }}
{{- range $values.subscriptions }}{{ if hasKey . "scaling" }}{{ $scaled = true }}{{ end }}{{ end }}
{{- $shutdown := $values.shutdown }}
{{- if ge (int $shutdown.delaySeconds) (int $shutdown.deadlineSeconds) }}
{{- fail (printf "services.%s: shutdown.delaySeconds is part of shutdown.deadlineSeconds and leaves no time for what is in flight: let it be less" .name) }}
{{- end -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name | quote }}
  labels: {{- include "service.labels" . | nindent 4 }}
spec:
  {{- if not $scaled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels: {{- include "service.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
  template:
    metadata:
      labels:
        {{- include "service.podLabels" . | nindent 8 }}
        {{- with $values.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      annotations:
        prometheus.io/scrape: 'true'
        prometheus.io/path: /metrics
        prometheus.io/port: {{ $values.port | quote }}
        {{- with $values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ .name | quote }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ add $values.shutdown.deadlineSeconds 10 }}
      {{- with $values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: {{ .name | quote }}
          image: {{ include "service.image" . | quote }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          {{- with $values.args }}
          args: {{- toYaml . | nindent 12 }}
          {{- end }}
          env:
            - name: PORT
              value: {{ $values.port | quote }}
            - name: MONGODB_URL
              valueFrom: { secretKeyRef: {{ toJson $values.database.secret }} }
            {{- if $values.broker.secret.name }}
            - name: RABBITMQ_URL
              valueFrom: { secretKeyRef: {{ toJson $values.broker.secret }} }
            {{- end }}
            {{- if $bindings }}
            - name: SERVICE_BINDING_ROOT
              value: /bindings
            {{- end }}
            - name: LOG_LEVEL
              value: {{ $values.logLevel }}
            - name: SHUTDOWN_DELAY_MS
              value: {{ mul $values.shutdown.delaySeconds 1000 | quote }}
            - name: SHUTDOWN_DEADLINE_MS
              value: {{ mul $values.shutdown.deadlineSeconds 1000 | quote }}
            {{- with $values.telemetry.endpoint }}
            - name: OTEL_EXPORTER_OTLP_ENDPOINT
              value: {{ . | quote }}
            {{- end }}
            {{- range $name, $value := $values.env }}
            - name: {{ $name | quote }}
              value: {{ include "service.variable" $value }}
            {{- end }}
            {{- range $name, $secret := $values.secretEnv }}
            - name: {{ $name | quote }}
              valueFrom: { secretKeyRef: {{ toJson $secret }} }
            {{- end }}
          ports:
            - { name: http, containerPort: {{ $values.port }} }
          startupProbe:
            httpGet: { path: /livez, port: http }
            {{- toYaml $values.probes.startup | nindent 12 }}
          livenessProbe:
            httpGet: { path: /livez, port: http }
            {{- toYaml $values.probes.liveness | nindent 12 }}
          readinessProbe:
            httpGet: { path: /readyz, port: http }
            {{- toYaml $values.probes.readiness | nindent 12 }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: {{ $values.readOnlyRootFilesystem }}
            capabilities: { drop: [ALL] }
          {{- if $bindings }}
          volumeMounts:
            {{- range $bindings }}
            - { name: binding-{{ . }}, mountPath: /bindings/{{ . }}, readOnly: true }
            {{- end }}
          {{- end }}
      {{- if $bindings }}
      volumes:
        # The pod waits for these: the operator writes them as soon as it sees the EventSubscription, or the EventPublisher.
        {{- range $bindings }}
        - name: binding-{{ . }}
          secret: { secretName: {{ include "service.bindingSecret" . | quote }}, defaultMode: 0440 }
        {{- end }}
      {{- end }}
      {{- with $values.topologySpread }}
      topologySpreadConstraints:
        {{- range . }}
        - topologyKey: {{ . | quote }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels: {{- include "service.selector" $ | nindent 14 }}
        {{- end }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
