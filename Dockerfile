# Two stages: the locked dependencies and the package in a virtual environment, then only that on a slim base.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /venv
COPY requirements.lock .
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
LABEL org.opencontainers.image.title="paramedic" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home paramedic && install -d -o paramedic /var/lib/paramedic
COPY --from=build /venv /venv
COPY rules/playbooks /etc/paramedic/playbooks
COPY rules/causes.yaml /etc/paramedic/causes.yaml
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PARAMEDIC_INTAKE__HOST=0.0.0.0 \
    PARAMEDIC_PLAYBOOKS=/etc/paramedic/playbooks \
    PARAMEDIC_STORE__URL=sqlite:////var/lib/paramedic/paramedic.db
USER 10001
VOLUME /var/lib/paramedic
EXPOSE 9095
ENTRYPOINT ["paramedic"]
CMD ["serve"]
