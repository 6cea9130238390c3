// The worker's page. The server says where the conversation stands; this draws
// it, and sends what the worker does. Text is only ever set as text.
import { follow, forget } from './drafts.js';
import { ask, wait } from './http.js';
import { Pair } from './pair.js';

const $ = (id) => document.getElementById(id);
const ASIDE = ['complete', 'held'];

let state = null;
let numLooks = 0; // and answers: a look that began before the last is late
let last = Promise.resolve(); // the command that is to be answered first
const underWay = new Set(); // paths of commands that are not answered yet

let numUnstored = 0; // times in a row that replies could not be kept

const pair = new Pair({
  onEnd: async (end) => {
    numUnstored = end === 'unstored' ? numUnstored + 1 : 0;
    if (numUnstored) {
      say('The replies could not be stored. Asking again…');
      await wait(500 * 2 ** Math.min(numUnstored, 3));
    }
    refresh();
  },
});

// ------------------------------------------------------------- messages

function say(text) {
  const box = $('problem');
  box.hidden = !text;
  box.textContent = text ?? '';
}

function announce(text) {
  $('news').textContent = text;
}

// -------------------------------------------------------------- drawing

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function bubble(role, text, note = '') {
  const item = element('li', role);
  const who = role === 'human' ? 'You' : 'Assistant';
  item.append(element('span', 'who', who + note), element('p', '', text));
  return item;
}

function drawSaid(turns, open) {
  const items = turns.flatMap((turn) => [
    bubble('human', turn.text),
    bubble('assistant', turn.answer, turn.is_edited ? ', in your words' : ''),
  ]);
  if (open) items.push(bubble('human', open.text));
  $('said').replaceChildren(...items);
}

function draw(next) {
  const before = state;
  state = next;
  const { phase, progress, conversation, review } = next;
  const shown = review ?? next.turn;
  $('conversation').hidden = ASIDE.includes(phase);
  $('complete').hidden = phase !== 'complete';
  $('held').hidden = phase !== 'held';
  $('pause').hidden = ASIDE.includes(phase);
  $('progress-text').textContent =
    phase === 'complete'
      ? `${progress.of} of ${progress.of} done`
      : `Conversation ${progress.number} of ${progress.of}`;
  $('progress-bar').value =
    phase === 'complete' ? 1 : (progress.number - 1) / progress.of;
  if (ASIDE.includes(phase)) return;

  drawSaid(review ? review.turns : conversation.turns, shown);
  $('review-note').hidden = phase !== 'review';
  drawWriting(phase, conversation);
  const key = review ? `review ${review.id}` : `turn ${next.turn?.attempt}`;
  pair.draw(phase, shown, key);
  follow('message', '');
  // It was stored, though perhaps no answer came.
  if (next.turn?.text === $('message').value.trim()) clearMessage();
  follow('report-reason', key);
  follow('comment', conversation.id);
  follow('skip-reason', conversation.id);
  $('pass').hidden = phase !== 'review';
  $('skip').hidden = phase === 'review' || conversation.id === null;
  if (before && before.phase !== phase) moveOn(phase);
  if (next.activity === 'paused') open('pause-dialog');
  else if (next.is_break_due && phase === 'write') open('break-dialog');
}

function drawWriting(phase, conversation) {
  const isOver = conversation.next > conversation.most;
  $('write').hidden = phase !== 'write';
  $('message').disabled = isOver;
  $('message-label').textContent =
    conversation.next === 1 ? 'Begin a conversation' : 'Your message';
  $('finish').hidden = conversation.turns.length === 0;
  $('finish').classList.toggle('main', isOver);
  $('write').querySelector('[type=submit]').hidden = isOver;
}

function clearMessage() {
  $('message').value = '';
  forget('message');
}

/** Focus and words for those who do not see the page change. */
function moveOn(phase) {
  if (phase === 'write') {
    $('message').focus();
    announce('Your turn to write.');
  } else if (phase === 'wait') announce('Both replies are being written.');
  else if (phase === 'choose' || phase === 'review') {
    announce('Both replies are there. Choose between A and B.');
    pair.focus();
  } else if (phase === 'retry') {
    announce('The assistant did not answer.');
    $('retry').focus();
  }
}

function open(id) {
  const dialog = $(id);
  if (!dialog.open) dialog.showModal();
}

// -------------------------------------------------------------- sending

/** Draws where the conversation stands, unless something newer was drawn. */
async function look() {
  numLooks += 1;
  const own = numLooks;
  const found = await ask('GET', '/api/state', undefined, (p) => say(p.message));
  if (own === numLooks) draw(found);
}

async function refresh() {
  try {
    await look();
    say('');
  } catch (problem) {
    lost(problem);
  }
}

function lost(problem) {
  say(problem.message);
  if (problem.status === 401) location.assign('/join');
  else if (problem.code === 'stale_page') {
    setTimeout(() => location.reload(), 1500);
  } else if (problem.code === 'moved_on') {
    look().catch(() => {});
  } else if (problem.code === 'held') refresh();
}

/** Sends commands one after another; returns whether this one was stored.
 *
 * A second click on what is under way is the first one's.
 */
async function send(path, body) {
  if (underWay.has(path)) return false;
  underWay.add(path);
  document.body.setAttribute('aria-busy', 'true');
  last = last.then(() => post(path, body));
  const isStored = await last;
  underWay.delete(path);
  if (!underWay.size) document.body.removeAttribute('aria-busy');
  return isStored;
}

async function post(path, body) {
  try {
    const answer = await ask('POST', path, body, (p) => {
      say(`${p.message} Trying again; nothing is lost.`);
    });
    say('');
    numLooks += 1;
    draw(answer.state);
    return true;
  } catch (problem) {
    lost(problem);
    return false;
  }
}

$('message').addEventListener('keydown', (event) => {
  const isPlain = !event.shiftKey && !event.isComposing;
  if (event.key === 'Enter' && isPlain) {
    event.preventDefault();
    $('write').requestSubmit();
  }
});

$('write').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { number, next } = state.conversation;
  const text = $('message').value;
  if (!text.trim()) return;
  $('message').value = '';
  if (await send('/api/turns', { conversation: number, turn: next, text })) {
    forget('message');
  } else $('message').value = text;
});

$('choose').addEventListener('submit', async (event) => {
  event.preventDefault();
  const choice = pair.choice();
  if (choice === null) return;
  if (state.review) {
    delete choice.edit;
    await send(`/api/reviews/${state.review.id}`, choice);
  } else await send(`/api/turns/${state.turn.id}/choice`, choice);
});

$('pass').addEventListener('click', () => {
  const seconds = pair.seconds();
  send(`/api/reviews/${state.review.id}`, { step: null, seconds });
});

$('retry').addEventListener('click', () => {
  send(`/api/turns/${state.turn.id}/retry`, {});
});

$('finish').addEventListener('click', () => open('finish-dialog'));
$('skip').addEventListener('click', () => open('skip-dialog'));

$('finish-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const rating = Number(new FormData(event.target).get('rating'));
  await end({ kind: 'finished', rating, comment: $('comment').value }, event);
});

$('skip-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  await end({ kind: 'skipped', comment: $('skip-reason').value }, event);
});

async function end(body, event) {
  const { id } = state.conversation;
  event.target.closest('dialog').close();
  if (await send(`/api/conversations/${id}/end`, body)) {
    event.target.reset();
    clearMessage();
    $('message').focus();
  }
}

let reported = 'a';
for (const button of document.querySelectorAll('.report')) {
  button.addEventListener('click', () => {
    reported = button.dataset.slot;
    open('report-dialog');
  });
}

$('report-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const body = { slot: reported, reason: $('report-reason').value };
  $('report-dialog').close();
  if (await send(`/api/turns/${state.turn.id}/report`, body)) {
    event.target.reset();
    announce('Thank you, the reply is reported.');
  }
});

$('pause').addEventListener('click', () => {
  send('/api/activities', { kind: 'paused' });
});

for (const id of ['resume', 'take-break', 'no-break']) {
  $(id).addEventListener('click', async (event) => {
    const kinds = { resume: 'resumed', 'take-break': 'paused' };
    event.target.closest('dialog').close();
    await send('/api/activities', { kind: kinds[id] ?? 'rested' });
  });
}

for (const dialog of document.querySelectorAll('dialog')) {
  dialog.querySelector('.close')?.addEventListener('click', () => dialog.close());
}
// A pause ends by a click on its button only.
for (const id of ['pause-dialog', 'break-dialog']) {
  $(id).addEventListener('cancel', (event) => event.preventDefault());
}

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.matches('textarea, input:not([type=radio])');
  const isOpen = document.querySelector('dialog[open]') !== null;
  if (isTyping || isOpen || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (/^[1-8]$/.test(event.key)) pair.take(Number(event.key));
  else if (event.key === 'Enter' && event.target.matches('input[name=step]')) {
    event.preventDefault();
    $('choose').requestSubmit();
  }
});

addEventListener('online', refresh);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && !underWay.size) refresh();
});
refresh();
