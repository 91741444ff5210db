# Three images: profile-api, the production server (the last stage, so the
# default), local-clerk, the stand-in for Clerk (--target local-clerk), and waf, the
# firewall that may stand in front of the API (--target waf).

FROM golang:1.26-alpine AS source
WORKDIR /src
ENV CGO_ENABLED=0
COPY . .

FROM source AS build-local
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -buildvcs=false -o /out/local ./cmd/local && mkdir /out/data

FROM source AS build-api
ARG VERSION=dev
ARG COMMIT=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
    -o /out/profile-api ./cmd/profile-api

FROM source AS build-waf
ARG VERSION=dev
ARG COMMIT=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" \
    -o /out/waf ./cmd/waf

FROM gcr.io/distroless/static-debian12:nonroot AS waf
COPY --from=build-waf /out/waf /waf
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["/waf", "healthcheck"]
ENTRYPOINT ["/waf"]
CMD ["serve"]

# Never for production: whoever reaches it can become anybody.
FROM gcr.io/distroless/static-debian12:nonroot AS local-clerk
COPY --from=build-local /out/local /local
# A fresh volume takes over this folder's owner, so that the signing key can be kept there.
COPY --from=build-local --chown=65532:65532 /out/data /data
USER 65532:65532
EXPOSE 8081
ENTRYPOINT ["/local"]
CMD ["clerk"]

FROM gcr.io/distroless/static-debian12:nonroot AS profile-api
ARG VERSION=dev
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="profile-api" \
      org.opencontainers.image.description="User profiles behind Clerk sign-in" \
      org.opencontainers.image.source="https://github.com/profile-api/profile-api" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
COPY --from=build-api /out/profile-api /profile-api
# By number, so that an orchestrator can see that it is not root.
USER 65532:65532
EXPOSE 8080
# It writes nothing to disk: run it with a read-only root.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["/profile-api", "healthcheck"]
ENTRYPOINT ["/profile-api"]
CMD ["serve"]
