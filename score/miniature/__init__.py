"""The miniature world: generated tasks, their encyclopedia, the rule-based expert and the tiny student."""
