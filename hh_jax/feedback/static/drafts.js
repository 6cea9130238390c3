// What is typed and not stored yet, kept over a reload of the page. A draft
// belongs to a place, such as a turn, and is never shown at another one.

const places = new Map(); // id of a field -> place that it is filled for

export function keep(id, place, value) {
  sessionStorage.setItem(`draft ${id}`, JSON.stringify([place, value]));
}

/** What was typed at a place, '' if nothing was. */
export function kept(id, place) {
  const found = sessionStorage.getItem(`draft ${id}`);
  const [where, value] = found === null ? [] : JSON.parse(found);
  return where === place ? value : '';
}

export function forget(id) {
  sessionStorage.removeItem(`draft ${id}`);
}

/** Fills a field with what was typed at a place, and keeps what is from now. */
export function follow(id, place) {
  const field = document.getElementById(id);
  if (places.get(id) === place) return;
  if (!places.has(id)) {
    field.addEventListener('input', () => {
      keep(id, places.get(id), field.value);
    });
  }
  places.set(id, place);
  field.value = kept(id, place);
}
