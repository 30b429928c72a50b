"use strict";
const main = document.querySelector("main");
const tip = document.body.appendChild(Object.assign(document.createElement("div"), {className: "tip", hidden: true}));
const closed = new Set();
let lost = null;

async function refresh() {
  if (document.hidden || !tip.hidden) return;
  try {
    const answer = await fetch("/?part=main", {cache: "no-store"});
    if (!answer.ok) throw new Error(answer.status);
    main.innerHTML = await answer.text();
    for (const one of main.querySelectorAll("details")) if (closed.has(one.id)) one.open = !one.open;
    lost = null;
  } catch (_) {
    lost = lost || new Date();
    let banner = main.querySelector(".banner");
    if (!banner) banner = Object.assign(document.createElement("p"), {className: "banner"});
    banner.textContent = `The control port has not answered since ${lost.toLocaleTimeString()}; what stands below is of then.`;
    main.prepend(banner);
  }
}

main.addEventListener("click", (event) => {
  const one = event.target.closest("summary")?.parentElement;
  if (one) closed.has(one.id) ? closed.delete(one.id) : closed.add(one.id);
});

main.addEventListener("pointermove", (event) => {
  const svg = event.target.closest("svg[data-points]");
  if (!svg) return leave();
  const data = JSON.parse(svg.dataset.points), box = svg.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
  let best = 0;
  data.x.forEach((one, place) => { if (Math.abs(one - x) < Math.abs(data.x[best] - x)) best = place; });
  const cursor = svg.querySelector(".cursor");
  main.querySelectorAll(".cursor").forEach((one) => { one.style.visibility = "hidden"; });
  cursor.setAttribute("x1", data.x[best]);
  cursor.setAttribute("x2", data.x[best]);
  cursor.style.visibility = "visible";
  tip.replaceChildren(document.createTextNode(new Date(data.t[best] * 1000).toLocaleTimeString()));
  for (const [label, slot, points] of data.lines) {
    const row = document.createElement("div"), key = document.createElement("i");
    key.className = `key s${slot}`;
    const value = points[best] === null ? "-" : Number(points[best].toPrecision(4));
    row.append(key, `${label}  ${value} ${data.unit}`);
    tip.append(row);
  }
  tip.hidden = false;
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
});

function leave() {
  tip.hidden = true;
  main.querySelectorAll(".cursor").forEach((one) => { one.style.visibility = "hidden"; });
}

main.addEventListener("pointerleave", leave);
setInterval(refresh, 2000);
