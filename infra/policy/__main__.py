"""What infra/policy/pack starts."""

from infra.policy.serving import serve

serve()
