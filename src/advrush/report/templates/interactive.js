"use strict";
// Loss surfaces that turn together, heat maps that go through the epochs, and tables that sort. Without this script the page shows
// the drawn surface and the last epoch.
(() => {
  const STOPS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37]];
  const color = (share) => {
    const at = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1), low = Math.min(Math.floor(at), STOPS.length - 2);
    const mixed = STOPS[low].map((value, k) => Math.round(value + (STOPS[low + 1][k] - value) * (at - low)));
    return `rgb(${mixed.join(",")})`;
  };
  const START = { azimuth: -2.13, elevation: 0.49 };
  const camera = { ...START };
  const surfaces = [];

  const project = (surface, x, y, z) => {
    const { width, height } = surface.canvas, size = Math.min(0.28 * width, 0.33 * height);
    const ca = Math.cos(camera.azimuth), sa = Math.sin(camera.azimuth);
    const ce = Math.cos(camera.elevation), se = Math.sin(camera.elevation);
    const across = -x * sa + y * ca, away = x * ca + y * sa;
    return [width / 2 + size * across, 0.47 * height - size * (z * ce - away * se), away * ce + z * se];
  };

  const draw = (surface) => {
    const { canvas, values, points, low, high, extent } = surface, scale = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
    const pen = canvas.getContext("2d"), ink = getComputedStyle(canvas).color;
    const place = (k) => (2 * k) / (points - 1) - 1;
    const level = (value) => 1.2 * (value - low) / (high - low) - 0.6;
    const share = surface.reach / extent;
    const at = (i, j) => project(surface, place(i) * share, place(j) * share, level(values[i * points + j]));
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.lineWidth = scale * 0.8;
    pen.strokeStyle = ink;
    pen.globalAlpha = 0.35;
    const floor = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => project(surface, x, y, -0.6));
    path(pen, floor);
    pen.stroke();
    pen.globalAlpha = 1;
    const faces = [];
    for (let i = 0; i + 1 < points; i++) for (let j = 0; j + 1 < points; j++) {
      const corners = [at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)];
      const mean = (values[i * points + j] + values[(i + 1) * points + j] + values[(i + 1) * points + j + 1] + values[i * points + j + 1]) / 4;
      faces.push({ corners, depth: corners.reduce((sum, corner) => sum + corner[2], 0), mean });
    }
    faces.sort((a, b) => a.depth - b.depth);
    for (const face of faces) {
      path(pen, face.corners);
      pen.fillStyle = pen.strokeStyle = color((face.mean - low) / (high - low));
      pen.fill();
      pen.stroke();
    }
    label(pen, surface, ink, scale);
    canvas.dataset.drawn = String(faces.length);
  };

  const path = (pen, corners) => {
    pen.beginPath();
    corners.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
  };

  const label = (pen, surface, ink, scale) => {
    const { extent, low, high } = surface;
    pen.fillStyle = pen.strokeStyle = ink;
    pen.font = `${11 * scale}px system-ui, sans-serif`;
    pen.lineJoin = "round";
    pen.lineWidth = 3 * scale;
    pen.strokeStyle = getComputedStyle(document.body).backgroundColor;
    const write = (text, across, down, align) => {  // inside the canvas, legible on the surface
      const wide = pen.measureText(text).width, { width, height } = surface.canvas;
      const left = Math.min(Math.max(across - (align * wide) / 2, 2), width - wide - 2), low = Math.min(Math.max(down, 11 * scale), height - 4 * scale);
      pen.strokeText(text, left, low);
      pen.fillText(text, left, low);
    };
    const near = [Math.cos(camera.azimuth) < 0 ? -1 : 1, Math.sin(camera.azimuth) < 0 ? -1 : 1];
    const put = (text, x, y) => {
      const [across, down] = project(surface, x, y, -0.6);
      const lines = text.split(", "), first = Math.min(down + 8 * scale, surface.canvas.height - (13 * lines.length - 9) * scale);
      lines.forEach((line, k) => write(line, across, first + 13 * k * scale, 1));
    };
    put(surface.first, 0.1, 1.45 * near[1]);
    put(surface.second, 1.5 * near[0], 0.1);
    for (const side of [-1, 1]) {
      put(`${side * extent}`, 0.9 * side, 1.15 * near[1]);
      put(`${side * extent}`, 1.15 * near[0], 0.9 * side);
    }
    const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => [-0.6, 0.6].map((z) => project(surface, x, y, z)));
    const [bottom, top] = corners.reduce((left, each) => (each[0][0] < left[0][0] ? each : left));
    write(low.toPrecision(2), bottom[0] - 4 * scale, bottom[1] + 3 * scale, 2);
    write(high.toPrecision(2), top[0] - 4 * scale, top[1] + 3 * scale, 2);
    write("mean loss, nats", top[0] + 14 * scale, top[1] - 12 * scale, 2);
    pen.lineWidth = 0.8 * scale;
    pen.strokeStyle = ink;
    pen.beginPath();
    pen.moveTo(bottom[0], bottom[1]);
    pen.lineTo(top[0], top[1]);
    pen.stroke();
  };

  const redraw = () => surfaces.forEach(draw);
  const turn = (azimuth, elevation) => {
    camera.azimuth += azimuth;
    camera.elevation = Math.min(Math.max(camera.elevation + elevation, 0.05), 1.5);
    redraw();
  };

  const begin = (holder) => {
    const canvas = document.createElement("canvas"), title = document.createElement("p"), data = holder.dataset;
    title.textContent = data.name;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${data.name}: loss surface. Arrow keys turn all surfaces, Home sets them back.`);
    holder.append(title, canvas);
    holder.hidden = false;
    const values = data.values.split(" ").map(Number);
    surfaces.push({ canvas, values, points: Math.round(Math.sqrt(values.length)), low: Number(data.low), high: Number(data.high), extent: Number(data.extent), reach: Number(data.reach), first: data.first, second: data.second });
    let held = null;
    canvas.addEventListener("pointerdown", (event) => { held = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointerup", () => { held = null; });
    canvas.addEventListener("pointercancel", () => { held = null; });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      turn((held[0] - event.clientX) / 120, (event.clientY - held[1]) / 120);
      held = [event.clientX, event.clientY];
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (event.key === "Home") Object.assign(camera, START);
      if (!step && event.key !== "Home") return;
      event.preventDefault();
      turn(...(step || [0, 0]));
    });
  };

  const slide = (holder) => {
    const frames = JSON.parse(holder.dataset.frames), kinds = Object.keys(frames), count = frames[kinds[0]].length;
    const maps = [...holder.parentElement.querySelectorAll("figure.heat svg")];
    const slider = holder.querySelector("input"), shown = holder.querySelector("output");
    slider.max = slider.value = String(count);
    slider.addEventListener("input", () => {
      const epoch = Number(slider.value);
      shown.textContent = `epoch ${epoch} of ${count}`;
      kinds.forEach((kind, k) => {
        const weights = frames[kind][epoch - 1], low = Math.min(...weights), span = Math.max(...weights) - low || 1;
        maps[k].querySelectorAll("rect.weight").forEach((square, index) => {
          square.setAttribute("fill-opacity", (0.04 + 0.68 * (weights[index] - low) / span).toFixed(3));
          square.nextElementSibling.textContent = weights[index] < 1000 ? `.${String(weights[index]).padStart(3, "0")}` : "1";
        });
      });
    });
    shown.textContent = `epoch ${count} of ${count}`;
    holder.hidden = false;
  };

  const film = (holder) => {
    const bar = holder.querySelector(".epochs"), slider = bar.querySelector("input"), shown = bar.querySelector("output");
    const scenes = [...holder.querySelectorAll(".scene")];
    const show = () => {
      const epoch = Number(slider.value), current = scenes.filter((each) => Number(each.dataset.first) <= epoch).pop();
      scenes.forEach((each) => { each.hidden = each !== current; });
      shown.textContent = `epoch ${epoch} of ${slider.max}`;
    };
    slider.addEventListener("input", show);
    show();
    bar.hidden = false;
  };

  const UNITS = { k: 1e3, M: 1e6, G: 1e9, s: 1, min: 60, h: 3600, d: 86400 };
  const amount = (text) => {
    const parts = [...text.replace(/,(?=\d{3})/g, "").matchAll(/(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*(k|M|G|s|min|h|d)?(?![a-z])/g)];
    if (!parts.length || !/^-?[\d.]/.test(text)) return NaN;
    const timed = parts.every((part) => part[2] && !"kMG".includes(part[2]));
    return (timed ? parts : parts.slice(0, 1)).reduce((sum, part) => sum + Number(part[1]) * (UNITS[part[2]] || 1), 0);
  };
  const words = (row, column) => {
    const cell = row.cells[column].cloneNode(true);
    cell.querySelectorAll("small").forEach((each) => each.remove());
    return cell.textContent.trim();
  };
  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    if (body.rows.length < 3) return;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "ascending" || (column > 0 && !head.hasAttribute("aria-sort"));
        const sign = falling ? -1 : 1;
        const keyed = [...body.rows].map((row) => ({ row, text: words(row, column), number: amount(words(row, column)) }));
        const numeric = keyed.some((each) => !Number.isNaN(each.number));
        keyed.sort((a, b) => {
          if (!numeric) return sign * a.text.localeCompare(b.text);
          if (Number.isNaN(a.number) || Number.isNaN(b.number)) return Number.isNaN(a.number) - Number.isNaN(b.number);
          return sign * (a.number - b.number);
        });
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        body.append(...keyed.map((each) => each.row));
      });
    });
  };

  document.querySelectorAll("table").forEach(sortable);
  document.querySelectorAll("[data-values]").forEach(begin);
  document.querySelectorAll("[data-frames]").forEach(slide);
  document.querySelectorAll(".film").forEach(film);
  redraw();
  if (surfaces.length) {
    window.addEventListener("resize", redraw);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    document.querySelectorAll("details").forEach((each) => each.addEventListener("toggle", redraw));
  }
})();
