# syntax=docker/dockerfile:1
# One image per chosen set of plugins:
#   docker build -t studio .                                               what the repository holds
#   docker build -t studio --build-arg PLUGINS="auth rbac … providers/local" .
#   docker build -t studio --build-arg PRIVATE="acme-studio-grading acme-studio-review" \
#                --build-arg PRIVATE_NAMES="grading review" --secret id=uv_toml,src=uv.toml .
#   docker run -p 8081:8081 --env-file .env -v studio:/srv/studio/.studio studio
# The secret is a uv.toml with the index of the private plugins and its credentials; no layer holds it.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/tools && /opt/tools/bin/pip install --no-cache-dir uv && python -m venv --without-pip /opt/studio
COPY . .
ARG PLUGINS=all
ARG PRIVATE=""
ARG PRIVATE_NAMES=""
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN /opt/tools/bin/uv build --quiet --all-packages --wheel --out-dir /wheels
RUN --mount=type=secret,id=uv_toml,target=/etc/uv/uv.toml \
    PATH=/opt/tools/bin:$PATH .ci/install-plugins /opt/studio /wheels "$PLUGINS" "$PRIVATE"
# Outside development only what the configuration names runs: this image names what it holds.
RUN .ci/enable-plugins config/preview.toml "$PLUGINS" "$PRIVATE_NAMES" && \
    .ci/enable-plugins config/production.toml "$PLUGINS" "$PRIVATE_NAMES"

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Studio" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-only AND GPL-3.0-or-later"
# Fonts for panels, slates and burnt-in subtitles; ffmpeg, the voice and the servers come in the wheels of their plugins.
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends fontconfig fonts-dejavu-core fonts-noto-core && \
    rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /srv/studio --create-home studio && \
    install -d -o studio -g studio /srv/studio/.studio /srv/studio/.errorLogs
COPY --from=build /opt/studio /opt/studio
COPY --from=build /src/config /srv/studio/config
WORKDIR /srv/studio
USER studio
ENV PATH=/opt/studio/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STUDIO_ENV=preview \
    STUDIO_SERVER__HOST=0.0.0.0
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('STUDIO_SERVER__PORT', 8081)}/healthz\", timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["studio", "serve"]
