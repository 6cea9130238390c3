"""The closed vocabulary: every word and fact the lab's people talk about.

Everything is lower case and spelt out, so that about a thousand byte-pair
tokens cover it with most words as one token.
"""

from __future__ import annotations


def with_article(noun: str) -> str:
  """Returns the noun after 'a' or 'an'."""
  return ('an ' if noun[0] in 'aeiou' else 'a ') + noun


ANIMALS = tuple('cat dog cow horse sheep pig duck mouse lion frog'.split())
FRUITS = tuple('apple pear plum grape lemon cherry'.split())
VEGETABLES = tuple('carrot potato onion bean pea leek'.split())
TOOLS = tuple('hammer saw spade drill brush axe'.split())
VEHICLES = tuple('car bus train boat bike plane'.split())
COLOURS = tuple('red blue green yellow black white brown orange'.split())
NAMES = tuple('rex tom sam max bella ann ben lucy jack mia leo ruby'.split())
FOODS = tuple('soup rice bread cheese cake pizza'.split())
DAYS = tuple('monday tuesday wednesday thursday friday saturday sunday'.split())
MONTHS = tuple(
  'january february march april may june july august september october'
  ' november december'.split()
)
NUMBERS = tuple('zero one two three four five six seven eight nine ten'.split())

CATEGORIES = {
  'animal': ANIMALS,
  'fruit': FRUITS,
  'vegetable': VEGETABLES,
  'tool': TOOLS,
  'vehicle': VEHICLES,
}
LISTS = {
  'animals': ANIMALS,
  'fruits': FRUITS,
  'vegetables': VEGETABLES,
  'tools': TOOLS,
  'vehicles': VEHICLES,
  'colours': COLOURS,
}

_OPPOSITE_PAIRS = (
  'hot cold,big small,tall short,fast slow,happy sad,old new,up down,'
  'open shut,wet dry,clean dirty,loud quiet,near far'
)
OPPOSITES = {
  word: other
  for pair in _OPPOSITE_PAIRS.split(',')
  for word, other in (pair.split(), pair.split()[::-1])
}

_IRREGULAR = (
  'mouse mice,man men,foot feet,tooth teeth,child children,leaf leaves,'
  'box boxes,bus buses'
)
PLURALS = dict(pair.split() for pair in _IRREGULAR.split(',')) | {
  noun: noun + 's' for noun in 'cat dog cow house tree book'.split()
}

_PAST = (
  'go went,see saw,eat ate,run ran,take took,give gave,make made,sing sang,'
  'walk walked,jump jumped,play played,help helped'
)
PAST_TENSES = dict(pair.split() for pair in _PAST.split(','))

COLOUR_OF = {
  'a lemon': 'yellow',
  'a banana': 'yellow',
  'the sun': 'yellow',
  'grass': 'green',
  'a leaf': 'green',
  'snow': 'white',
  'milk': 'white',
  'coal': 'black',
  'a carrot': 'orange',
  'a cherry': 'red',
  'the sky': 'blue',
  'the sea': 'blue',
  'mud': 'brown',
}
SOUNDS = {
  'a cow': 'moo',
  'a dog': 'woof',
  'a cat': 'meow',
  'a sheep': 'baa',
  'a duck': 'quack',
  'a horse': 'neigh',
  'a pig': 'oink',
  'a lion': 'roar',
  'a frog': 'croak',
  'a mouse': 'squeak',
}
CAPITALS = {
  'france': 'paris',
  'italy': 'rome',
  'spain': 'madrid',
  'england': 'london',
  'japan': 'tokyo',
  'egypt': 'cairo',
  'china': 'beijing',
  'russia': 'moscow',
  'greece': 'athens',
  'peru': 'lima',
}

BY_SIZE = (
  'an ant',
  'a mouse',
  'a cat',
  'a sheep',
  'a horse',
  'an elephant',
  'a house',
  'a mountain',
)

NEXT = dict(zip(DAYS, DAYS[1:] + DAYS[:1], strict=True)) | dict(
  zip(MONTHS, MONTHS[1:] + MONTHS[:1], strict=True)
)
SUMS = {
  f'{NUMBERS[i]} plus {NUMBERS[j]}': NUMBERS[i + j]
  for i in range(1, 5)
  for j in range(1, 5)
}

COPY_WORDS = (
  ('big', 'small', 'old', 'new', 'happy', 'sad', 'fast', 'slow', 'quiet'),
  COLOURS,
  ANIMALS,
)

CALLED = (
  'dog',
  'cat',
  'horse',
  'rabbit',
  'sister',
  'brother',
  'friend',
  'teacher',
  'boss',
  'aunt',
)
FAVOURITES = {
  'colour': COLOURS,
  'food': FOODS,
  'animal': ANIMALS,
  'day': DAYS,
  'fruit': FRUITS,
}

HOW_TO = {
  'boil an egg': 'heat some water and then put the egg in',
  'plant a seed': 'make a hole in the ground and then fill it again',
  'wash a car': 'take a sponge and then rub it with soap',
  'make tea': 'boil water and then add the leaves',
  'fix a flat tyre': 'take the wheel off and then close the hole',
  'clean a window': 'wet the glass and then dry it with paper',
  'bake bread': 'mix flour with water and then open the oven',
  'fly a kite': 'run with the wind and then let the string go',
  'catch a fish': 'put a worm on the hook and then sit still',
  'find a lost cat': 'call its name and then look under the bed',
}

PEOPLE = (
  'my sister',
  'my brother',
  'my boss',
  'my teacher',
  'my neighbour',
  'my aunt',
  'my friend',
  'the new boy',
  'the old man',
  'the cook',
)
PLACES = (
  'the shop',
  'the school',
  'the market',
  'the bank',
  'the museum',
  'the church',
  'the office',
  'the house next door',
)
