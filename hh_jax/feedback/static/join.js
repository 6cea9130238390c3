// Trades the token after the # for a session; servers never see it in a URL.
import { ask } from './http.js';

const message = document.getElementById('message');
const again = document.getElementById('open');

async function open() {
  const token = location.hash.slice(1);
  if (!token) {
    message.textContent =
      'Open the link that you were sent. It ends with a long code after #.';
    return;
  }
  again.hidden = true;
  message.textContent = 'Opening your link…';
  try {
    const { next } = await ask('POST', '/api/join', { token });
    history.replaceState(null, '', '/join');
    location.replace(next);
  } catch (problem) {
    message.textContent = problem.message;
    again.hidden = false;
  }
}

again.addEventListener('click', open);
addEventListener('hashchange', open);
open();
