# The trainer; never in one image with the server (FlashAttention and vLLM pin torch differently).
# From the repository's root:
#   docker build -f tools/containers/train.Dockerfile -t ochat-train .
#   docker run --gpus all --ipc=host -v ./data:/data -v ./runs:/runs ochat-train \
#       torchrun --nproc-per-node gpu -m ochat_train run --model /data/base --data /data/set --output /runs/first
# torch's kernels for packed attention need no FlashAttention. For it, and for optimizers offloaded
# to the CPU (DeepSpeed compiles them), take a base with the CUDA compiler:
#   --build-arg BASE=nvidia/cuda:12.8.1-devel-ubuntu24.04 is not enough by itself: it has no Python;
#   any image with Python 3.11 or newer, pip and nvcc will do.
ARG BASE=python:3.11-slim-bookworm
FROM python:3.11-slim-bookworm AS wheels
COPY packages /packages
RUN pip install --no-cache-dir "build>=1.2" \
    && for name in templates data train; do python -m build --wheel --outdir /wheels "/packages/ochat-$name" || exit 1; done

# hadolint ignore=DL3006
FROM ${BASE}
ARG INDEX=
ARG EXTRAS=qlora,tensorboard,wandb
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ gcc libgomp1 ninja-build openssh-client pdsh \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 ochat \
    && mkdir -p /runs /var/log/ochat \
    && chown ochat /runs /var/log/ochat
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --find-links /wheels --constraint /tmp/constraints.txt \
        ${INDEX:+--extra-index-url "$INDEX"} "ochat-train[$EXTRAS]"
USER 10001
WORKDIR /runs
VOLUME ["/runs", "/var/log/ochat"]
# A run ends by itself; what watches it is its exit code (75: stopped in time, start it again with
# --resume), so there is no health check here.
CMD ["ochat-train", "--help"]
