for (const table of document.querySelectorAll("table[data-sortable]")) {
  const value = (row, at) => row.cells[at].dataset.value ?? row.cells[at].textContent.trim();
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((one, other) => {
        const [a, b] = [value(one, head.cellIndex), value(other, head.cellIndex)];
        if (!a || !b) return !a - !b; // what has no value is last in either direction
        const order = isNaN(a) || isNaN(b) ? a.localeCompare(b, "en", { numeric: true }) : a - b;
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  }
}
