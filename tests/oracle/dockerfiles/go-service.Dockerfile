#syntax=docker/dockerfile:1.7-labs
ARG GO=1.22 ALPINE
FROM --platform=${BUILDPLATFORM:-linux/amd64} golang:${GO}-alpine${ALPINE:+$ALPINE} AS build
SHELL ["/bin/ash", "-eo", "pipefail", "-c"]
ADD --keep-git-dir=true --link https://github.com/moby/buildkit.git#v0.10.1 /buildkit
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d --unpack=false \
    https://mirrors.edge.kernel.org/pub/linux/kernel/Historic/linux-0.01.tar.gz /
RUN --network=none --security=sandbox --mount=target=. --mount=type=tmpfs,target=/tmp,size=64m \
    --mount=type=ssh,required --mount=type=cache,target=/root/.cache \
    go build -ldflags "-X 'main.version=$(git describe)'" -o /out/service ./cmd/service
RUN --device=vendor.example/device=gpu,required true
RUN ["go", "vet", "./..."]
RUN cat <<one <<two > /out/both && sed -i 's/a/b/' /out/both
first $HOME
one
second
two
RUN python3 <<EOF
if True:
    print("""a heredoc \
is never joined""")
EOF

FROM scratch AS binaries
COPY --from=build /out/service /

FROM binaries
COPY --from=alpine:3.20 /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
ENTRYPOINT ["/service"]
