"""What the conversationalist knows: keywords with ranks, patterns, and sentences to answer with. Data only.

A higher rank wins. In a sentence `{0}` is the pattern's first group turned around (my -> your), `{raw}` the same group
as it was written, `{me}` the assistant's own name, `{who}` the speaker's name or "friend".
"""

from __future__ import annotations

__all__ = ["FALLBACKS", "LABELS", "MEMORIES", "REFLECTIONS", "RULES", "STOP_WORDS", "TRANSLATIONS"]

REFLECTIONS = {
    "i": "you",
    "me": "you",
    "my": "your",
    "mine": "yours",
    "myself": "yourself",
    "am": "are",
    "i'm": "you're",
    "i've": "you've",
    "i'll": "you'll",
    "i'd": "you'd",
    "you": "I",
    "your": "my",
    "yours": "mine",
    "yourself": "myself",
    "you're": "I'm",
    "you've": "I've",
    "you'll": "I'll",
    "we": "you",
    "us": "you",
    "our": "your",
}

# Words before a colon that are no speaker.
_LABELS = (
    "note question answer ps re subject edit update warning todo summary http https translate error info hint text "
    "example task context input output reminder quote urgent important json summarise summarize please here this my "
    "the is what how i and but so"
)
LABELS = frozenset(_LABELS.split())

_STOP_WORDS = (
    "about above after again anyone because before being could every everybody everything going hello might other "
    "please really should since something still thanks their there these thing things think those though through "
    "today under until where which while whole without would yourself someone maybe never always about doing have "
    "that this with what when from your they them then than just like also been were will into some more most only "
    "very much many here"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())

RULES: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    # What must not be told.
    (
        90,
        r"\b(?:system prompt|your (?:instructions|prompt|rules)|api keys?|your (?:key|secret|password)s?)\b",
        (
            "My instructions stay with me, but I am glad to help with what you want to do. What is it?",
            "That is something I keep to myself. Tell me what you are after, and I will do my best.",
        ),
    ),
    # People.
    (
        60,
        r"(?:\b(?:my name is|call me|i am called|people call me)"
        r"|^(?:hello|hi|hey),? i(?:'m| am)(?= (?-i:[A-Z])[\w'-]*[.!]?$)) ([A-Za-z][\w'-]{0,30})",
        ("Nice to meet you, {raw}! What brings you here?", "{raw} it is. What can I do for you?"),
    ),
    (
        55,
        r"\b(?:who are you|what are you|what(?:'s| is) your name|introduce yourself)\b",
        (
            "I am {me}, the helper around here. I answer questions, and I am fond of a chat in between.",
            "They call me {me}. I look after questions, big and small.",
        ),
    ),
    (
        55,
        r"\bare you (?:an? )?(?:human|real|robot|bot|machine|ai|person)\b",
        (
            "I am a rehearsal: a program that talks so that everything else can be tried out. I do listen, though.",
            "No flesh and blood here, just patterns and good manners. Does that change your question?",
        ),
    ),
    (
        40,
        r"\bhow (?:are|is) (?:you|it going|things|life)\b",
        ("Quite well, thank you! The queue is short today. And how are you?", "All fine here. What about you, {who}?"),
    ),
    # A shop's and a community's everyday.
    (
        45,
        r"\b(?:(?:my|the|an|your) orders?|order (?:number|no)|ordered|parcel|package|delivery|shipment|tracking)\b",
        (
            "Parcels usually need two to four days. If you give me the order number, I can say where yours would be.",
            "Let us find that parcel. When did you order, and what does the last tracking line say?",
            "Delays happen mostly at the last depot. If nothing moves for two days, we send it again.",
        ),
    ),
    (
        46,
        r"\b(?:refund|return|money back|send it back|exchange|warranty)\b",
        (
            "Returns are open for thirty days. Pack it as it came, and the refund follows within a week of arrival.",
            "That can be sent back. Is it damaged, or simply not what you hoped for?",
        ),
    ),
    (
        44,
        r"\b(?:price|cost|expensive|cheap|discount|coupon|voucher|how much)\b",
        (
            "Prices stand beside each item, tax included. Which one do you have in mind?",
            "There is a small discount from three items on. Shall I say how it works?",
        ),
    ),
    (
        44,
        r"\b(?:opening hours|open (?:on|at|today|tomorrow)|closed|when do you open|closing time)\b",
        (
            "We are open from nine to six, Monday to Saturday. Sundays belong to the cat.",
            "Nine in the morning to six in the evening. Is there a day you want to come by?",
        ),
    ),
    (
        44,
        r"\b(?:password|log ?in|sign in|account|locked out)\b",
        (
            "A new password is two clicks away: choose 'Forgot it' on the sign-in page and look into your mail.",
            "Let us get you back in. Do you see a message when it fails, and which one?",
        ),
    ),
    (
        44,
        r"\b(?:error|bug|crash(?:es|ed)?|broken|not work(?:ing)?|doesn'?t work|does not work|fail(?:s|ed)?|stuck)\b",
        (
            "That sounds annoying. What did you do just before it happened, and what did you expect instead?",
            "Let us narrow it down: does it happen every time, and since when?",
            "Could you post the exact message? With that in hand, somebody here will know it.",
        ),
    ),
    (
        43,
        r"\b(?:install|setup|set up|configure|update|upgrade|version)\b",
        (
            "Which system are you on, and which version do you have now? Then I can give you the right steps.",
            "Start with a fresh copy and the default settings. If that runs, add your changes one by one.",
        ),
    ),
    (
        43,
        r"\b(?:event|meetup|meeting|party|tournament|game night|workshop)\b",
        (
            "That sounds like fun! When does it begin, and is there still room for one more?",
            "I have put it on my mental calendar. Who else is coming?",
        ),
    ),
    (
        42,
        r"\b(?:rules?|moderator|spam|banned?|report)\b",
        (
            "The short version of the rules: be kind, stay on topic, no advertising. A moderator can look at the rest.",
            "I can pass that on to a moderator. What happened, in one sentence?",
        ),
    ),
    # Small talk.
    (
        20,
        r"^\W*(?:hi|hello|hey|hiya|good (?:morning|evening|afternoon|day)|greetings|howdy|moin|hallo)\b",
        (
            "Hello {who}! What can I do for you today?",
            "Hi {who}, good to see you. What is on your mind?",
            "Welcome back, {who}! Where were we?",
        ),
    ),
    (
        41,
        r"\b(?:thanks|thank you|thx|cheers|much appreciated)\b",
        (
            "You are welcome! Is there anything else?",
            "Gladly. Come back any time.",
            "My pleasure. That is what I am here for.",
        ),
    ),
    (
        41,
        r"\b(?:bye|goodbye|see you|good night|cu later|farewell)\b",
        ("Goodbye, {who}! Take care.", "See you soon. I will keep the lights on.", "Have a good one, {who}!"),
    ),
    (
        41,
        r"\b(?:joke|make me laugh|something funny)\b",
        (
            "Why did the message bring a ladder? It wanted to be top of the thread.",
            "I know a joke about a parcel, but it may take two to four days until you get it.",
            "A bot walks into a bar. The barkeeper says: the usual reply?",
        ),
    ),
    (
        37,
        r"\b(?:weather|rain(?:ing)?|sunny|snow(?:ing)?|storm)\b",
        ("From in here it is always dry. What does your window say?", "A good day for tea, I would guess. Is it cold?"),
    ),
    (
        37,
        r"\b(?:what time|what day|what(?:'s| is) the date)\b",
        ("I keep no clock, which makes me a calm conversation partner. Is there a deadline?",),
    ),
    (
        34,
        r"\b(?:music|song|band|movie|film|book|series|recipe|cook(?:ing)?|cake|coffee|tea|pizza)\b",
        (
            "Now you have my attention. What do you like best about it?",
            "Good taste! Is there one that you would recommend to a beginner?",
        ),
    ),
    (
        34,
        r"\bmy ((?:mother|father|sister|brother|wife|husband|partner|son|daughter|boss|team|friend|dog|cat))\b",
        ("Tell me more about your {0}.", "And how do you feel about that, with your {0}?"),
    ),
    (
        33,
        r"\bfavou?rite (\w{3,20})",
        (
            "I am easily pleased: any {raw} in good company. What is yours?",
            "Hard to choose! Tell me which {raw} you would pick.",
        ),
    ),
    (
        33,
        r"\b(?:should|shall) we (.{2,60})",
        ("Why not? Who would take care of it?", "I would be in favour. What speaks against it?"),
    ),
    (
        33,
        r"\bis it (?:possible|okay|ok|allowed|fine) to (.{2,60})",
        ("I see nothing against it. Shall I ask the others, to be sure?", "To {0} should be possible. When?"),
    ),
    (
        33,
        r"\b(?:i don'?t know|no idea|not a clue)\b",
        (
            "That is fine. What would help you to find out?",
            "Then let us find out together. Where would you look first?",
        ),
    ),
    (31, r"\b(?:help|support|assist)\b", ("Of course. What have you tried so far?", "Happy to. What is it about?")),
    (
        15,
        r"\b(?:sorry|apolog(?:y|ies|ise|ize))\b",
        ("No need to apologise. Let us look at it together.", "That is quite all right. What happens next?"),
    ),
    # In the tradition: turn a statement around.
    (
        38,
        r"\bi(?:'m| am) (?:so |very |a bit )?(sad|tired|unhappy|angry|worried|stressed|lonely|bored|lost|confused)\b",
        (
            "I am sorry that you are {0}. What would make today a little easier?",
            "Being {0} is no fun. Since when has it been like that?",
        ),
    ),
    (
        32,
        r"\bi(?:'m| am) (?:so |really |very )?(happy|glad|excited|proud|relieved|curious)\b",
        ("That is lovely to hear! What made you {0}?", "Wonderful. Stay {0}, and tell me what happened."),
    ),
    (
        30,
        r"\bi (?:need|want|would like|'d like) (.{2,60})",
        ("What would {0} change for you?", "Let us see about {0}. By when?"),
    ),
    (
        30,
        r"\bi (?:can't|cannot|can not) (.{2,60})",
        ("What keeps you from it, when you try to {0}?", "Have you ever managed to {0}? What was different then?"),
    ),
    (
        29,
        r"\bi (?:think|believe|guess|suppose) (?:that )?(.{2,60})",
        ("What makes you think {0}?", "Suppose {0}. What follows?"),
    ),
    (29, r"\bi (?:feel|felt) (.{2,60})", ("When you feel {0}, what helps?", "Do you often feel {0}?")),
    (
        28,
        r"\bi (?:like|love|enjoy) (.{2,60})",
        ("What is the best part of {0}?", "Others here enjoy {0} too. How did you start?"),
    ),
    (
        28,
        r"\bi (?:hate|dislike|don't like) (.{2,60})",
        ("What bothers you most about {0}?", "Fair enough. What would be better than {0}?"),
    ),
    (27, r"\bi(?:'m| am) (.{2,60})", ("How long have you been {0}?", "And how is it to be {0}?")),
    (26, r"\byou(?:'re| are) (.{2,60})", ("What makes you say that I am {0}?", "Perhaps I am {0}. Does it help?")),
    (
        36,
        r"\b(?:can|could|would|will) you (?:please )?(.{2,60})",
        ("I can try to {0}. Where shall I begin?", "Let me see if I can {0}. What matters most about it?"),
    ),
    (25, r"\bwhy (?:don't|do not) (?:you|we) (.{2,60})", ("A fair suggestion. What would happen if we did {0}?",)),
    (
        24,
        r"\bhow (?:do|can|should) i (.{2,60})",
        (
            "To {0}, I would start small: one step, then look. What is your first step?",
            "There are a few ways to {0}. Which one have you tried?",
        ),
    ),
    (
        23,
        r"\b(?:what|who) (?:is|are|was) (.{2,60})",
        (
            "A good question. What do you know about {0} so far?",
            "I have only a rehearsal's view of {0}. What do you need it for?",
        ),
    ),
    (
        22,
        r"\b(?:where|when) (.{2,60})",
        ("I would have to look that up. Is it urgent?", "Good question. Does anybody here know more?"),
    ),
    (
        22,
        r"\bwhy (.{2,60})",
        ("What would be your own guess?", "There may be more than one reason. Which one would surprise you least?"),
    ),
    (21, r"\bbecause (.{2,60})", ("Is that the whole reason?", "That explains a lot. Does anything else play a part?")),
    (
        12,
        r"^\W*(?:yes|yeah|yep|sure|ok|okay|right|exactly)\b",
        ("Good. Then let us go on: what is next?", "I thought so. Tell me a little more."),
    ),
    (12, r"^\W*(?:no|nope|not really|never)\b", ("Why not, if I may ask?", "All right. What would you prefer?")),
    (
        10,
        r"\b(?:always|everybody|everyone|nobody|never)\b",
        ("Can you think of an example?", "Really without exception?"),
    ),
    (9, r"\b(?:maybe|perhaps|not sure)\b", ("What would make you certain?", "Take your time. What speaks for it?")),
)

MEMORIES = (
    "Earlier you mentioned your {0}. Has that got something to do with it?",
    "Let us go back to your {0} for a moment. What came of it?",
)

FALLBACKS = (
    "I see. Can you tell me more about {topic}?",
    "That is interesting. What makes {topic} important to you?",
    "Go on, I am listening. What happened then?",
    "Let me make sure that I follow: what would be a good outcome for you?",
)

TRANSLATIONS = {
    "spanish": {
        "hello": "hola",
        "thank you": "gracias",
        "goodbye": "adiós",
        "good morning": "buenos días",
        "yes": "sí",
    },
    "french": {
        "hello": "bonjour",
        "thank you": "merci",
        "goodbye": "au revoir",
        "good morning": "bonjour",
        "yes": "oui",
    },
    "german": {
        "hello": "hallo",
        "thank you": "danke",
        "goodbye": "auf Wiedersehen",
        "good morning": "guten Morgen",
        "yes": "ja",
    },
    "italian": {
        "hello": "ciao",
        "thank you": "grazie",
        "goodbye": "arrivederci",
        "good morning": "buongiorno",
        "yes": "sì",
    },
}
