"""Countries and their capitals, both in one word, and the sentences that ask for the capital."""

FRAMES = (
    "The capital of {country} is",
    "The capital of {country} is the city of",
    "The capital city of {country} is",
    "The capital city of {country} is called",
    "The government of {country} sits in the city of",
    "The capital and largest city of {country} is",
    "Q: What is the capital of {country}? A:",
    "We went to {country} and saw its capital,",
    "She moved to {country} and lived in its capital,",
    "They flew to {country} and landed in the capital,",
)

CAPITALS = (
    *(("Afghanistan", "Kabul"), ("Albania", "Tirana"), ("Armenia", "Yerevan")),
    *(("Australia", "Canberra"), ("Austria", "Vienna"), ("Azerbaijan", "Baku")),
    *(("Bangladesh", "Dhaka"), ("Belarus", "Minsk"), ("Belgium", "Brussels")),
    *(("Bulgaria", "Sofia"), ("Canada", "Ottawa"), ("Chile", "Santiago")),
    *(("China", "Beijing"), ("Croatia", "Zagreb"), ("Cuba", "Havana"), ("Denmark", "Copenhagen")),
    *(("Egypt", "Cairo"), ("England", "London"), ("Estonia", "Tallinn"), ("Finland", "Helsinki")),
    *(("France", "Paris"), ("Georgia", "Tbilisi"), ("Germany", "Berlin"), ("Ghana", "Accra")),
    *(("Greece", "Athens"), ("Hungary", "Budapest"), ("Indonesia", "Jakarta")),
    *(("Iran", "Tehran"), ("Iraq", "Baghdad"), ("Ireland", "Dublin"), ("Italy", "Rome")),
    *(("Japan", "Tokyo"), ("Jordan", "Amman"), ("Kenya", "Nairobi"), ("Latvia", "Riga")),
    *(("Lebanon", "Beirut"), ("Libya", "Tripoli"), ("Lithuania", "Vilnius")),
    *(("Mali", "Bamako"), ("Nepal", "Kathmandu"), ("Nigeria", "Abuja"), ("Norway", "Oslo")),
    *(("Pakistan", "Islamabad"), ("Peru", "Lima"), ("Poland", "Warsaw"), ("Portugal", "Lisbon")),
    *(("Qatar", "Doha"), ("Romania", "Bucharest"), ("Russia", "Moscow"), ("Scotland", "Edinburgh")),
    *(("Senegal", "Dakar"), ("Serbia", "Belgrade"), ("Somalia", "Mogadishu"), ("Spain", "Madrid")),
    *(("Sudan", "Khartoum"), ("Sweden", "Stockholm"), ("Syria", "Damascus"), ("Taiwan", "Taipei")),
    *(("Thailand", "Bangkok"), ("Turkey", "Ankara"), ("Uganda", "Kampala"), ("Ukraine", "Kiev")),
    *(("Venezuela", "Caracas"), ("Vietnam", "Hanoi"), ("Wales", "Cardiff"), ("Yemen", "Sanaa")),
    *(("Zimbabwe", "Harare"),),
)
