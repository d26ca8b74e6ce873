{{- define "sluice.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "sluice.image" -}}
{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}
{{- else }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "sluice.account" -}}
{{ .Values.serviceAccount.name | default (include "sluice.name" .) }}
{{- end }}

{{- define "sluice.secret" -}}
{{- if .Values.secret.existing }}{{ .Values.secret.existing }}
{{- else if .Values.secret.data }}{{ include "sluice.name" . }}
{{- end }}
{{- end }}

{{- /* sluice.yaml: what the values say, but for where it listens and, unless said, the threads. */}}
{{- define "sluice.config" -}}
{{- $config := deepCopy .Values.config }}
{{- if not (or $config.streams $config.exports) }}
{{- fail "config: streams or exports are required; see docs/configuration.md" }}
{{- end }}
{{- $store := get (default dict $config.checkpoint) "store" }}
{{- if or (not $store) (hasPrefix "sqlite:" $store) }}
{{- fail "config.checkpoint.store: workers share a Postgres: postgres://… or ${file:/run/secrets/sluice/KEY}" }}
{{- end }}
{{- if and (contains "/run/secrets/sluice/" ($config | toJson)) (not (include "sluice.secret" .)) }}
{{- fail "config reads /run/secrets/sluice: set secret.existing or secret.data" }}
{{- end }}
{{- $shutdown := get (default dict $config.worker) "shutdown" | default "20s" }}
{{- if not (regexMatch "^[0-9]+s$" $shutdown) }}
{{- fail "config.worker.shutdown: give whole seconds here (20s): it is compared with terminationGracePeriodSeconds" }}
{{- end }}
{{- $needed := add .Values.preStopSeconds (trimSuffix "s" $shutdown | int) }}
{{- if le (int .Values.terminationGracePeriodSeconds) (int $needed) }}
{{- fail (printf "terminationGracePeriodSeconds: preStopSeconds and worker.shutdown take %d s; it has to be more" $needed) }}
{{- end }}
{{- $worker := merge (default dict $config.worker) (dict "threads" .Values.threads) }}
{{- $http := merge (dict "listen" "0.0.0.0:8080") (default dict $config.http) }}
{{- toYaml (merge (dict "worker" $worker "http" $http) $config) }}
{{- end }}

{{- define "sluice.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "sluice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "sluice.mounts" -}}
- name: config
  mountPath: /etc/sluice
  readOnly: true
{{- if include "sluice.secret" . }}
- name: secrets
  mountPath: /run/secrets/sluice
  readOnly: true
{{- end }}
{{- end }}

{{- define "sluice.volumes" -}}
- name: config
  configMap:
    name: {{ include "sluice.name" . }}
{{- if include "sluice.secret" . }}
- name: secrets
  secret:
    secretName: {{ include "sluice.secret" . }}
    defaultMode: 0440
{{- end }}
{{- end }}
