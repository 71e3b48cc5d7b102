# A small image: the program, glibc and root certificates; no shell, nobody but the user 65532.
#
#   docker build -t ironclad-mcp .
#
# docs/deployment.md tells how it is run with a root file system that nothing can write to.
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist && cp target/dist/ironclad-mcp /ironclad-mcp && mkdir /state

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /ironclad-mcp /usr/local/bin/ironclad-mcp
# The one place that is written to: the audit log, and what waits for a person where there is no Redis.
COPY --from=build --chown=65532:65532 /state /state
ENV XDG_STATE_HOME=/state
VOLUME /state
USER 65532:65532
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/ironclad-mcp"]
CMD ["http", "--listen", "0.0.0.0:8000"]
