// Two replies side by side: while they are written, and the choice between them.

import { keep, kept } from './drafts.js';

const $ = (id) => document.getElementById(id);
const SLOTS = ['a', 'b'];
const words = (slot) => $(`reply-${slot}`).querySelector('.words');
const slotOf = (step) => (step <= 4 ? 'a' : 'b');

export class Pair {
  #source = null;
  #key = null; // which two replies are shown
  #since = 0; // when both were there
  #onEnd;
  #edited = null; // the reply that the edit began with

  /** @param {{onEnd: (how: string) => void}} told when a stream has ended */
  constructor({ onEnd }) {
    this.#onEnd = onEnd;
    $('choose').addEventListener('change', () => this.#mark());
    $('edit')?.addEventListener('input', () => {
      keep('edit', this.#key, $('edit').value);
    });
    $('edit-box')?.addEventListener('toggle', () => this.#fillEdit());
  }

  /** Draws a turn that is not decided yet, or nothing. */
  draw(phase, shown, key) {
    const isOpen = ['wait', 'choose', 'retry', 'review'].includes(phase);
    $('pair').hidden = !isOpen;
    if (!isOpen || phase !== 'wait') this.#close();
    if (!isOpen) {
      this.#key = null;
      return;
    }
    if (key !== this.#key) this.#begin(key);
    const isThere = phase === 'choose' || phase === 'review';
    $('choose').hidden = !isThere;
    $('failed').hidden = phase !== 'retry';
    $('waiting').hidden = phase !== 'wait';
    for (const slot of SLOTS) {
      const reply = $(`reply-${slot}`);
      reply.hidden = phase === 'retry';
      reply.querySelector('.report').hidden = phase !== 'choose';
      words(slot).dataset.empty = isThere ? 'The assistant said nothing.' : '';
    }
    if ($('edit-box')) $('edit-box').hidden = phase === 'review';
    if (isThere) {
      if (!this.#since) this.#since = performance.now();
      for (const slot of SLOTS) words(slot).textContent = shown.replies[slot];
      this.#mark();
    }
    if (phase === 'wait') this.#listen(shown.id);
  }

  #begin(key) {
    this.#key = key;
    this.#since = 0;
    this.#edited = null;
    this.#close();
    $('choose').reset();
    if ($('edit-box')) $('edit-box').open = false;
    for (const slot of SLOTS) words(slot).textContent = '';
    this.#restore(key);
    this.#mark();
  }

  /** What was chosen and typed here before a reload. */
  #restore(key) {
    const step = kept('step', key);
    const edit = kept('edit', key);
    if (step) $('choose').elements.step.value = step;
    if (edit && $('edit')) {
      $('edit-box').open = true;
      $('edit').value = edit;
      this.#edited = '';
    }
  }

  #close() {
    this.#source?.close();
    this.#source = null;
  }

  /** Follows both replies; after a break the stream starts from their start. */
  #listen(turn) {
    if (this.#source) return;
    const source = new EventSource(`/api/turns/${turn}/stream`);
    this.#source = source;
    source.addEventListener('message', (event) => {
      const frame = JSON.parse(event.data);
      if (frame.end) {
        this.#close();
        this.#onEnd(frame.end);
        return;
      }
      for (const slot of SLOTS) {
        const before = frame.from === 0 ? '' : words(slot).textContent;
        words(slot).textContent = before + frame[slot];
      }
    });
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) {
        this.#close();
        setTimeout(() => this.#onEnd('broken'), 2000);
      }
    });
  }

  #step() {
    const found = document.querySelector('input[name=step]:checked');
    return found ? Number(found.value) : null;
  }

  #mark() {
    const step = this.#step();
    if (step !== null) keep('step', this.#key, step);
    for (const slot of SLOTS) {
      const isPicked = step !== null && slotOf(step) === slot;
      $(`reply-${slot}`).classList.toggle('picked', isPicked);
    }
    this.#fillEdit();
  }

  /** An edit begins with the picked reply, until something is typed. */
  #fillEdit() {
    const step = this.#step();
    if (!$('edit-box')?.open || step === null) {
      if ($('edit')) $('edit').disabled = step === null;
      return;
    }
    $('edit').disabled = false;
    const isTouched = this.#edited !== null && $('edit').value !== this.#edited;
    if (isTouched) return;
    this.#edited = words(slotOf(step)).textContent;
    $('edit').value = this.#edited;
  }

  take(step) {
    const input = document.querySelector(`input[name=step][value="${step}"]`);
    if ($('choose').hidden || $('pair').hidden) return;
    input.checked = true;
    input.focus();
    this.#mark();
  }

  focus() {
    document.querySelector('input[name=step]').focus({ preventScroll: true });
    $('reply-a').scrollIntoView({ block: 'nearest' });
  }

  seconds() {
    return this.#since ? (performance.now() - this.#since) / 1000 : 0;
  }

  /** What is sent, or null while nothing is chosen. */
  choice() {
    const step = this.#step();
    if (step === null) return null;
    const choice = { step, seconds: this.seconds() };
    const edit = $('edit-box')?.open ? $('edit').value.trim() : '';
    if (edit && edit !== words(slotOf(step)).textContent) choice.edit = edit;
    return choice;
  }
}
