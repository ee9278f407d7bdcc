"""What the sentences of the subject-verb agreement tasks are made of: singular, then plural."""

NOUNS = (
    *(("actor", "actors"), ("adult", "adults"), ("agent", "agents"), ("artist", "artists")),
    *(("athlete", "athletes"), ("author", "authors"), ("baby", "babies"), ("boss", "bosses")),
    *(("boy", "boys"), ("brother", "brothers"), ("child", "children"), ("citizen", "citizens")),
    *(("client", "clients"), ("coach", "coaches"), ("colleague", "colleagues"), ("cop", "cops")),
    *(("cousin", "cousins"), ("customer", "customers"), ("dancer", "dancers")),
    *(("daughter", "daughters"), ("designer", "designers"), ("doctor", "doctors")),
    *(("driver", "drivers"), ("editor", "editors"), ("engineer", "engineers")),
    *(("expert", "experts"), ("farmer", "farmers"), ("father", "fathers"), ("friend", "friends")),
    *(("girl", "girls"), ("guard", "guards"), ("guest", "guests"), ("guy", "guys")),
    *(("hero", "heroes"), ("judge", "judges"), ("king", "kings"), ("lawyer", "lawyers")),
    *(("leader", "leaders"), ("man", "men"), ("manager", "managers"), ("member", "members")),
    *(("minister", "ministers"), ("mother", "mothers"), ("neighbor", "neighbors")),
    *(("officer", "officers"), ("owner", "owners"), ("parent", "parents")),
    *(("partner", "partners"), ("patient", "patients"), ("pilot", "pilots")),
    *(("player", "players"), ("poet", "poets"), ("prisoner", "prisoners")),
    *(("professor", "professors"), ("queen", "queens"), ("reader", "readers")),
    *(("scientist", "scientists"), ("senator", "senators"), ("singer", "singers")),
    *(("sister", "sisters"), ("soldier", "soldiers"), ("son", "sons"), ("student", "students")),
    *(("teacher", "teachers"), ("tourist", "tourists"), ("user", "users"), ("victim", "victims")),
    *(("visitor", "visitors"), ("voter", "voters"), ("witness", "witnesses")),
    *(("woman", "women"), ("worker", "workers"), ("writer", "writers")),
)

DETERMINERS = ("The", "My", "Your", "Our", "Their", "His", "Her")
"""Those that go with both numbers."""

VERBS = (("is", "are"), ("was", "were"), ("has", "have"), ("does", "do"))

CLAUSE_VERBS = (
    *(("likes", "like"), ("loves", "love"), ("knows", "know"), ("sees", "see")),
    *(("meets", "meet"), ("helps", "help"), ("follows", "follow"), ("trusts", "trust")),
    *(("remembers", "remember"), ("needs", "need"), ("wants", "want"), ("supports", "support")),
)
"""Verbs that people do to people."""

PREPOSITIONS = ("near", "behind", "beside", "by", "in front of")

THINGS = (
    *(("bed", "beds"), ("bench", "benches"), ("boat", "boats"), ("bridge", "bridges")),
    *(("building", "buildings"), ("bus", "buses"), ("camera", "cameras"), ("car", "cars")),
    *(("chair", "chairs"), ("church", "churches"), ("computer", "computers")),
    *(("desk", "desks"), ("door", "doors"), ("fence", "fences"), ("fire", "fires")),
    *(("gate", "gates"), ("house", "houses"), ("machine", "machines"), ("river", "rivers")),
    *(("shop", "shops"), ("table", "tables"), ("tower", "towers"), ("train", "trains")),
    *(("tree", "trees"), ("truck", "trucks"), ("wall", "walls"), ("window", "windows")),
)
