// The overview comes again every half minute while somebody looks at it.
const SECONDS = 30;

async function refresh() {
  if (document.hidden) return;
  const response = await fetch(location.href).catch(() => null);
  if (!response?.ok || response.redirected) return;
  const page = new DOMParser().parseFromString(
    await response.text(),
    'text/html',
  );
  const main = page.getElementById('main');
  if (main) document.getElementById('main').replaceChildren(...main.childNodes);
}

setInterval(refresh, 1000 * SECONDS);
