# syntax=docker/dockerfile:1
# check=skip=JSONArgsRecommended;error=true

ARG PYTHON_VERSION=3.12
ARG DEBIAN=bookworm

# base is what both stages share
FROM --platform=$BUILDPLATFORM python:${PYTHON_VERSION}-slim-${DEBIAN} AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    # caches are mounts
    PIP_CACHE_DIR=/var/cache/pip \

    PATH="/opt/venv/bin:$PATH"
WORKDIR /app

FROM base as Builder
RUN rm -f /etc/apt/apt.conf.d/docker-clean; \
    echo 'Binary::apt::APT::Keep-Downloaded-Packages "true";' > /etc/apt/apt.conf.d/keep-cache
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked <<-'INSTALL' /bin/bash -eux
	apt-get update
	# a comment of the script's
	apt-get install --no-install-recommends -y build-essential libpq-dev

	python -m venv /opt/venv
	INSTALL
COPY --link requirements*.txt ./
RUN --mount=type=cache,target=/var/cache/pip,id=pip-${TARGETARCH} \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf,mode=0444,required=false \
    --mount=type=bind,source=constraints,target=/constraints,ro \
    pip install --require-hashes -r requirements.txt

FROM base
LABEL org.opencontainers.image.title="An application" org.opencontainers.image.version='1.0 "beta"'
COPY --from=builder --chown=1000:1000 --chmod=u=rwX,go=rX /opt/venv /opt/venv
COPY --exclude=**/*.pyc --exclude=tests --parents src/ ./
COPY <<"settings.toml" <<entry.sh /etc/app/
[app]
name = "$NOT_EXPANDED"
settings.toml
#!/bin/sh
exec python -m app "$@"
entry.sh
USER 1000:1000
EXPOSE 8000/tcp 8001-8010
VOLUME ["/data", "/tmp/with space"]
HEALTHCHECK --interval=30s --timeout=3s --start-period=1m --start-interval=500ms --retries=5 \
  CMD curl -fsS http://localhost:8000/health || exit 1
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/etc/app/entry.sh"]
CMD ["--port", "8000"]
