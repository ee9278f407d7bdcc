"""What the sentences of the IOI task are made of.

Every name stands behind a space, never at the very beginning, so that it is the same token
wherever it appears. Every thing takes the article "a".
"""

TEMPLATES = (
    "Then, {first} and {second} went to the {place}. {giver} gave a {thing} to",
    "When {first} and {second} got a {thing} at the {place}, {giver} decided to give it to",
    "Then, {first} and {second} had a lot of fun at the {place}. {giver} gave a {thing} to",
    "After {first} and {second} went to the {place}, {giver} gave a {thing} to",
    "While {first} and {second} were working at the {place}, {giver} gave a {thing} to",
    "Then, {first} and {second} were walking to the {place}. {giver} wanted to give a {thing} to",
    "While {first} and {second} were on the way to the {place}, {giver} handed a {thing} to",
    "After the lunch, {first} and {second} left for the {place}. {giver} gave a {thing} to",
    "Yesterday, {first} and {second} met at the {place}. {giver} brought a {thing} to",
    "Last week, {first} and {second} spent a day at the {place}. {giver} offered a {thing} to",
    "Two friends named {first} and {second} found a {thing} at the {place}. {giver} gave it to",
    "The {place} where {first} and {second} stopped had a {thing}. {giver} gave it to",
    "As soon as {first} and {second} reached the {place}, {giver} passed a {thing} to",
    "Once {first} and {second} arrived at the {place}, {giver} showed a {thing} to",
    "Afterwards, {first} and {second} stayed at the {place}. {giver} sent a {thing} to",
)

PLACES = ("store", "garden", "restaurant", "school", "hospital", "office", "house", "station")

THINGS = ("ring", "book", "drink", "computer", "necklace", "basketball", "letter", "sandwich")

WOMEN = (
    *("Alice", "Amanda", "Amy", "Andrea", "Angela", "Anna", "Anne", "Ashley", "Barbara"),
    *("Caroline", "Catherine", "Charlotte", "Christina", "Christine", "Claire", "Deborah"),
    *("Diana", "Dorothy", "Elizabeth", "Emily", "Emma", "Erin", "Hannah", "Heather", "Helen"),
    *("Jane", "Janet", "Jennifer", "Jenny", "Jessica", "Jill", "Joan", "Julia", "Julie"),
    *("Karen", "Kate", "Katherine", "Kathleen", "Katie", "Kelly", "Laura", "Lauren", "Linda"),
    *("Lisa", "Louise", "Lucy", "Margaret", "Maria", "Marie", "Martha", "Mary", "Melissa"),
    *("Michelle", "Nancy", "Nicole", "Olivia", "Patricia", "Rachel", "Rebecca", "Ruth"),
    *("Samantha", "Sandra", "Sara", "Sarah", "Sharon", "Stephanie", "Susan", "Wendy"),
)

MEN = (
    *("Aaron", "Adam", "Alan", "Albert", "Alex", "Andrew", "Anthony", "Arthur", "Ben"),
    *("Benjamin", "Bob", "Brian", "Bruce", "Carl", "Charles", "Chris", "Christopher"),
    *("Daniel", "David", "Dennis", "Donald", "Edward", "Eric", "Fred", "Gary", "George"),
    *("Gregory", "Harold", "Harry", "Henry", "Howard", "Jacob", "James", "Jason", "Jeff"),
    *("Jeremy", "Jim", "Joe", "John", "Jonathan", "Joseph", "Joshua", "Justin", "Keith"),
    *("Kenneth", "Kevin", "Larry", "Louis", "Luke", "Martin", "Matthew", "Michael"),
    *("Nicholas", "Patrick", "Paul", "Peter", "Philip", "Richard", "Robert", "Ryan"),
    *("Scott", "Simon", "Stephen", "Steven", "Thomas", "Timothy", "Tom", "William"),
)

NAMES = (*WOMEN, *MEN)
