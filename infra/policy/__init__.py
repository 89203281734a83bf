"""What must hold of everything that is deployed, before it is: rules, judged without a cloud or by the engine's pack.

judge(resources, facts)     findings over a recorded program, a preview or a state (judging.py)
RULES                       the table of rules, by family (table.py)
infra/policy/pack           what `pulumi preview --policy-pack` starts (serving.py)
exceptions.yaml             what may differ, why, and until when (exceptions.py)
"""
