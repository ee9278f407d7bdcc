"""What the functions of the docstring task are made of. No word is in two of the lists."""

FUNCTIONS = (
    *("port", "client", "image", "table", "model", "report", "signal", "record", "query", "event"),
    *("device", "worker", "batch", "match", "screen", "filter", "sample", "point", "task", "merge"),
)

ARGUMENTS = (
    *("load", "size", "file", "last", "path", "name", "date", "user", "group", "key", "value"),
    *("color", "width", "height", "title", "order", "index", "limit", "state", "source", "target"),
    *("message", "number", "option", "parent", "result", "start", "test", "time", "token", "type"),
    *("unit", "version", "window", "mode", "line", "list", "host", "field", "count", "content"),
)

WORDS = (
    *("oil", "column", "piece", "crime", "population", "dark", "river", "music", "garden"),
    *("winter", "village", "doctor", "bread", "market", "island", "history", "science", "mountain"),
    *("kitchen", "animal", "summer", "money", "father", "forest", "paper", "street", "water"),
    *("season", "police", "hotel", "weather", "bridge", "dinner", "letter", "glass", "voice"),
)
