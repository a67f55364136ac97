# layercache with what it builds with: the docker command with buildx, and Buildah. For CI systems that run a job in an
# image (docs/ci/), and for runners of the Action that have no Python.
ARG BASE=docker.io/library/python:3.13-slim-trixie
ARG DOCKER=docker.io/library/docker:28-cli

FROM ${DOCKER} AS docker

FROM ${BASE} AS packages
COPY requirements/runtime.txt /
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip install --require-hashes --no-deps --only-binary :all: --no-compile --target /packages -r /runtime.txt

FROM ${BASE}
RUN apt-get update -qq \
    && apt-get install -qq -y --no-install-recommends buildah ca-certificates fuse-overlayfs git netavark skopeo uidmap \
    && rm -rf /var/lib/apt/lists/*
COPY --from=docker /usr/local/bin/docker /usr/local/bin/docker
COPY --from=docker /usr/local/libexec/docker/cli-plugins/docker-buildx /usr/local/libexec/docker/cli-plugins/docker-buildx
COPY --from=packages /packages /opt/layercache/packages
COPY entrypoint.py /opt/layercache/
COPY layercache_ci /opt/layercache/layercache_ci
# An ordinary user for jobs that needn't be root: `--user build`. Where RUN steps get no namespaces, chroot will do.
RUN useradd --create-home --uid 1000 build \
    && printf 'build:100000:65536\n' | tee /etc/subuid >/etc/subgid \
    && printf '#!/bin/sh\nexec python3 -m layercache_ci "$@"\n' >/usr/local/bin/layercache \
    && chmod 755 /usr/local/bin/layercache
ENV BUILDAH_ISOLATION=chroot \
    PYTHONPATH=/opt/layercache:/opt/layercache/packages
# Woodpecker and Drone start the image as it is and give the inputs of the Action as PLUGIN_*; others name a command.
ENTRYPOINT ["python3", "/opt/layercache/entrypoint.py"]
