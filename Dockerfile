# The service alone: no compiler, no test tools, no development mode, no root.

# The exact Node that CI runs the tests on. A tag can be moved, a digest cannot: ask for today's with
# `docker buildx imagetools inspect node:24.21.0-bookworm-slim`, and build with
# `--build-arg NODE_IMAGE=node:24.21.0-bookworm-slim@sha256:…`.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

# What takes long is made for every processor, so it is made on that of the builder, whatever the image is for:
# `docker buildx build --platform linux/amd64,linux/arm64 .`
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Nothing that is needed here has an install script, so none may run.
RUN npm ci --ignore-scripts
COPY tsconfig.json build.ts ./
COPY src ./src
RUN npm run build && rm dist/service.v8

FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS dependencies
WORKDIR /presignd
COPY package.json package-lock.json .npmrc ./
# The one optional dependency is SQLite for Node 20; later ones bring their own.
RUN npm ci --omit=dev --omit=optional --ignore-scripts && npm cache clean --force
# What is in node_modules, told by CycloneDX. `npm sbom --omit=dev` would leave out what development needs as well.
RUN npm pkg delete devDependencies optionalDependencies && \
    npm sbom --sbom-format=cyclonedx --sbom-type=application >sbom.cdx.json
# Types and source maps are for those who write code.
RUN find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="presignd" \
      org.opencontainers.image.description="Signs S3 uploads, checks them, remembers them. The bytes never pass through it." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
# A container is reached through its own address; PORT may be changed, and the health check follows it.
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000
WORKDIR /app
COPY --from=dependencies /presignd/node_modules ./node_modules
COPY --from=dependencies /presignd/sbom.cdx.json ./
COPY --from=build /app/dist ./dist
COPY package.json LICENSE policies.example.yaml ./
COPY deploy/presignd /usr/local/bin/
# What V8 compiles is for the processor of the image, and two fifths of a start.
RUN node --disable-warning=ExperimentalWarning dist/compile-ahead.js >/dev/null
# The user `node` by its number: Kubernetes cannot tell from a name that it is not root.
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then(reply => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["presignd"]
CMD ["serve"]
