/* Copyright (c) 2026, the vfio.host authors
   GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
   SPDX-License-Identifier: GPL-3.0-or-later

   The devices of each host, made when its part of the page is opened, and the filters. What hosts have told goes in as text
   (textContent), never as HTML. */
"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const text = (number) => number < 0 ? "" : data.texts[number];
  const by = (id) => document.getElementById(id);
  const parts = [...document.querySelectorAll("details.host")];
  const COLUMNS = ["Group", "Address", "Device", "Driver", "State", "Policy", "Known by"];
  const FEW = 8;  // hosts that are opened by themselves when a filter leaves no more

  const hosts = parts.map((part, index) => ({
    part, name: part.querySelector("h2").textContent, told: part.textContent.toLowerCase(), state: part.dataset.state,
    found: part.querySelector(".found"), room: part.querySelector(".devices"), devices: read(data.hosts[index]), seen: null, drawn: null, ours: false,
  }));

  function read(numbers) {
    const found = [];
    for (let at = 0; at < numbers.length; at += 3) {
      const [address, group, more] = data.places[numbers[at]];
      found.push({address, group, more, shape: data.shapes[numbers[at + 1]], own: numbers[at + 2]});
    }
    // Groups that only the chipset is in come last.
    const wanted = new Set(found.filter((one) => text(one.shape[4]) !== "chipset").map((one) => one.group));
    return found.sort((one, other) => wanted.has(other.group) - wanted.has(one.group)
      || order(text(one.group)) - order(text(other.group)) || (text(one.address) < text(other.address) ? -1 : 1));
  }
  function order(group) {
    const number = parseInt(group, 10);
    return group === "" ? Infinity : isNaN(number) ? Number.MAX_SAFE_INTEGER : number;
  }
  // In the order of pack.py.
  const ids = (one) => text(one.shape[0]), kind = (one) => text(one.shape[1]), name = (one) => text(one.shape[2]);
  const driver = (one) => text(one.shape[3]), state = (one) => text(one.shape[4]), policy = (one) => text(one.shape[5]);
  const why = (one) => text(one.shape[6]);
  function words(one) {
    if (one.words === undefined) {
      one.words = [text(one.address), ids(one), kind(one), name(one), driver(one), state(one), policy(one), why(one), text(one.own), text(one.more)]
        .join("\n").toLowerCase();
    }
    return one.words;
  }

  function make(tag, content, attributes) {
    const made = document.createElement(tag);
    if (content !== undefined) made.textContent = content;
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    return made;
  }
  function lines(cell, content) {
    for (const line of content ? content.split("\n") : []) {
      const small = make("small");
      small.append(make("bdi", line));
      cell.append(small);
    }
    return cell;
  }
  function cell(content, attributes) {
    const made = make("td", undefined, attributes);
    if (content) made.append(make("bdi", content));
    return made;
  }
  // Tables are made when they come near the window: those of a whole fleet at once would take a browser half a minute.
  const near = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) draw(places.get(one.target));
  }, {rootMargin: "600px"});
  const places = new Map();
  for (const host of hosts) {
    if (host.room) {
      places.set(host.room, host);
      near.observe(host.room);
    }
  }
  function refresh(host) {
    if (!host.room || !host.part.open || host.drawn === host.seen) return;
    near.unobserve(host.room);  // it tells of what it begins to observe
    near.observe(host.room);
  }
  function draw(host) {
    if (!host.room || !host.part.open || host.drawn === host.seen) return;
    host.drawn = host.seen;
    host.room.querySelectorAll("table, p").forEach((old) => old.remove());
    if (!host.seen.length) {
      host.room.append(make("p", "No device of this host is like that."));
      return;
    }
    const table = make("table", undefined, {"aria-label": "Devices of " + host.name});
    const head = table.createTHead().insertRow();
    COLUMNS.forEach((title) => head.append(make("th", title, {scope: "col"})));
    let body, group;
    for (const one of host.seen) {
      if (!body || one.group !== group) {
        body = table.createTBody();
        group = one.group;
      }
      const row = body.insertRow(), is = state(one);
      row.append(
        cell(text(one.group) || "–", {class: "beside", "data-is": "group"}), cell(text(one.address), {class: "mono beside"}),
        lines(cell(name(one)), ids(one) + "  " + kind(one)), cell(driver(one) || "–", {class: "mono beside", "data-is": "driver"}),
        lines(cell(is, {class: "beside is-" + is.split(" ")[0]}), why(one)), cell(policy(one), {class: "beside", "data-is": "policy"}), lines(lines(cell(""), text(one.own)), text(one.more)));
    }
    host.room.append(table);
  }

  const pressed = new Set();
  function filter() {
    const wanted = {
      text: by("text").value.trim().toLowerCase(), host: by("host").value.trim().toLowerCase(), policy: by("policy").value,
      kind: by("kind").value, state: by("state").value,
    };
    const asksDevices = wanted.policy || wanted.kind || wanted.state;
    let shown = 0, devices = 0;
    for (const host of hosts) {
      let fits = (!pressed.size || pressed.has(host.state)) && host.name.toLowerCase().includes(wanted.host), seen = host.devices;
      if (fits && asksDevices) {
        seen = seen.filter((one) => (!wanted.policy || policy(one) === wanted.policy) && (!wanted.kind || kind(one) === wanted.kind)
          && (!wanted.state || state(one) === wanted.state));
        fits = seen.length > 0;
      }
      if (fits && wanted.text && !host.told.includes(wanted.text)) {
        seen = seen.filter((one) => words(one).includes(wanted.text));
        fits = seen.length > 0;
      }
      host.part.hidden = !fits;
      host.seen = seen.length === host.devices.length ? host.devices : seen;
      host.found.textContent = fits && host.seen !== host.devices ? seen.length + " of " + host.devices.length + " devices" : "";
      if (fits) {
        shown += 1;
        devices += seen.length;
        refresh(host);
      }
    }
    const narrow = shown <= FEW && shown < hosts.length;
    for (const host of hosts) {
      if (narrow && !host.part.hidden && !host.part.open) {
        host.ours = host.part.open = true;
      } else if (!narrow && host.ours) {
        host.ours = host.part.open = false;
      }
    }
    const all = hosts.reduce((sum, host) => sum + host.devices.length, 0);
    const say = (number) => number.toLocaleString("en");
    by("shown").textContent = "Shown: " + say(shown) + " of " + say(hosts.length) + " hosts, " + say(devices) + " of " + say(all) + " devices";
    by("none").hidden = shown > 0;
  }

  function choices(id, values) {
    for (const value of [...new Set(values)].filter(Boolean).sort()) by(id).append(make("option", value, {value}));
  }
  const used = (place) => data.shapes.map((shape) => text(shape[place]));
  choices("kind", used(1));
  choices("state", used(4));
  choices("policy", used(5));
  choices("names", hosts.map((host) => host.name));

  let waiting;
  function soon() {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 80);
  }
  ["text", "host"].forEach((id) => by(id).addEventListener("input", soon));
  ["policy", "kind", "state"].forEach((id) => by(id).addEventListener("change", filter));
  const chips = [...document.querySelectorAll(".chip")];
  function press(chip, on) {
    chip.setAttribute("aria-pressed", String(on));
    pressed[on ? "add" : "delete"](chip.dataset.state);
  }
  for (const chip of chips) {
    chip.disabled = false;
    chip.addEventListener("click", () => {
      press(chip, !pressed.has(chip.dataset.state));
      filter();
    });
  }
  const form = document.querySelector("form");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    chips.forEach((chip) => press(chip, false));
    setTimeout(filter);
  });
  by("again").addEventListener("click", () => {
    form.reset();
    by("text").focus();
  });
  function all(open) {
    for (const host of hosts) {
      if (!host.part.hidden) {
        host.ours = false;
        host.part.open = open;
      }
    }
  }
  by("open").addEventListener("click", () => all(true));
  by("close").addEventListener("click", () => all(false));
  hosts.forEach((host) => host.part.addEventListener("toggle", () => refresh(host)));
  window.addEventListener("beforeprint", () => hosts.forEach((host) => host.part.hidden || draw(host)));

  function follow() {
    const target = location.hash && by(location.hash.slice(1));
    if (target && target.matches("details.host")) {
      target.hidden = false;
      target.open = true;
      target.querySelector("summary").focus();
    }
  }
  window.addEventListener("hashchange", follow);
  // A link to where one is already changes nothing, so it is followed by hand.
  document.querySelectorAll(".look a").forEach((link) => link.addEventListener("click", () => setTimeout(follow)));

  const THEME = "vfio.host.report.theme";
  function paint(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    by("theme").value = theme;
  }
  // A browser may refuse a file any storage; then the choice holds as long as the page.
  const kept = (work) => {
    try {
      return work();
    } catch (refused) {
      return null;
    }
  };
  paint(kept(() => localStorage.getItem(THEME)) || "");
  by("theme").addEventListener("change", (event) => {
    paint(event.target.value);
    kept(() => localStorage.setItem(THEME, event.target.value));
  });

  document.querySelectorAll(".js").forEach((one) => { one.hidden = false; });
  filter();
  follow();
})();
