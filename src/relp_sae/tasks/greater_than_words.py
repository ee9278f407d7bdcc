"""Nouns for what lasts from one year to another."""

NOUNS = (
    *("war", "siege", "campaign", "expedition", "voyage", "dispute", "conflict", "rebellion"),
    *("revolt", "occupation", "reign", "truce", "alliance", "famine", "plague", "drought"),
    *("journey", "mission", "project", "trial", "strike", "feud", "partnership", "marriage"),
    *("quest", "struggle", "crusade", "invasion", "blockade", "construction", "exile", "dynasty"),
    *("boom", "crisis", "reform", "debate", "investigation", "operation", "program", "pilgrimage"),
)
