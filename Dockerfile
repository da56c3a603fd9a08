# One image for each service and the operator, from one file:
#
#   docker build --build-arg APP=operator        --tag warren/operator .
#   docker build --build-arg APP=services/order  --tag warren/order .
#
# `npm run images` builds all of them, with docker or buildah. Build arguments:
#   APP         the workspace that the image runs: its folder
#   NODE_IMAGE  where node and npm come from; anything with both on a glibc
#   BASE_IMAGE  what the image stands on; anything with glibc and libstdc++: it needs no shell, no npm, no certificates
#   VERSION, REVISION  what the labels say
# Build secrets, where a network needs them: `npmrc` (a registry that asks who is there), `ca` (certificates to trust).
ARG NODE_IMAGE=node:24-trixie-slim
ARG BASE_IMAGE=debian:trixie-slim

# What npm needs to know, and nothing else: a change of the code leaves the installed packages in the cache.
FROM ${NODE_IMAGE} AS manifests
COPY . /context
RUN mkdir /src && cd /context \
  && find . -name package.json -o -name package-lock.json -o -name .npmrc | tar --create --files-from=- | tar --extract --directory=/src

# The compiled code of every workspace, without types and aids for tests, in /compiled. All images share it.
FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY --from=manifests /src .
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=ca,target=/run/ca.crt --mount=type=cache,target=/root/.npm \
  test ! -f /run/ca.crt || export NODE_EXTRA_CA_CERTS=/run/ca.crt; \
  npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN node node_modules/typescript/bin/tsc --build operator services/* \
  && mkdir /compiled \
  && find operator packages services -path '*/dist/*' -type f -not -path '*/node_modules/*' \
    -not -path '*/dist/testing/*' -not -name '*.d.ts' -not -name '*.tsbuildinfo' \
  | tar --create --files-from=- | tar --extract --directory=/compiled

# What one workspace needs at run time: its production dependencies, without what only a compiler or an editor reads.
FROM ${NODE_IMAGE} AS dependencies
ARG APP
WORKDIR /app
COPY --from=manifests /src .
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=ca,target=/run/ca.crt --mount=type=cache,target=/root/.npm \
  test -n "${APP}" || { echo "Which one? --build-arg APP=operator, or APP=services/order" >&2; exit 1; }; \
  test ! -f /run/ca.crt || export NODE_EXTRA_CA_CERTS=/run/ca.crt; \
  npm ci --ignore-scripts --no-audit --no-fund --omit=dev --workspace="${APP}" \
  && find node_modules -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.md' -o -name '*.flow' \) -delete \
  && find node_modules -type d -empty -delete

# The workspaces that are linked from node_modules, as package.json and dist; no other one.
FROM dependencies AS production
COPY --from=build /compiled .
RUN linked="$(find node_modules/@warren -maxdepth 1 -type l -exec readlink -f {} +)" \
  && for workspace in /app/operator /app/environment /app/packages/* /app/services/*; do \
    case " $(echo ${linked}) " in *" ${workspace} "*) ;; *) rm -r "${workspace}" ;; esac; \
  done \
  && rm -rf node_modules/.bin package-lock.json .npmrc

# For development: the source as it is, started anew when a file changes (skaffold syncs them). Not for production.
FROM dependencies AS development
ARG APP
COPY . /context
RUN cd /context && tar --create operator packages services charts/warren/crds | tar --extract --directory=/app && rm -r /context \
  && chown -R 65532:65532 /app/operator /app/packages /app/services
WORKDIR /app/${APP}
USER 65532:65532
EXPOSE 3000
ENTRYPOINT ["node", "--watch", "--conditions=warren-source", "--disable-warning=ExperimentalWarning", "src/main.ts"]

FROM ${NODE_IMAGE} AS node

FROM ${BASE_IMAGE}
ARG APP
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="warren ${APP}" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=production /app /app
COPY charts/warren/crds /app/charts/warren/crds
WORKDIR /app/${APP}
ENV NODE_ENV=production NODE_OPTIONS=--enable-source-maps
# Little memory: most of what a process here reads is forgotten at once. Young objects have 4 MB, the old grow in small steps, and
# the C library, which would keep an arena for every thread, gives back what is free.
ENV MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072
USER 65532:65532
EXPOSE 3000
ENTRYPOINT ["node", "--max-semi-space-size=4", "--heap-growing-percent=10", "dist/main.js"]
