# An Envoy with the filter: docker build -f packaging/docker/envoy.Dockerfile -t crossfade-envoy .
FROM rust:1.95-trixie AS build
WORKDIR /src
COPY . .
# By the Rust of this image: rust-toolchain.toml would fetch another.
RUN export RUSTUP_TOOLCHAIN="$(rustup default | cut -d' ' -f1)" && cargo xtask edge

FROM envoyproxy/envoy:distroless-v1.40.0
COPY --from=build /src/edge/envoy/crossfade_envoy.wasm /etc/envoy/crossfade_envoy.wasm
USER 65532:65532
