"use strict";
// Sorts what is on the page already: tables by a click on a column's head, cells by the order that is chosen.
// The page is complete without it; the controls are hidden until it runs.
(function () {
  function key(cell) {
    var text = cell.getAttribute("data-key") || cell.textContent.trim();
    var number = parseFloat(text.replace("\u2212", "-"));
    return isNaN(number) || !/^[-+\u2212]?[0-9.]+$/.test(text) ? text.toLowerCase() : number;
  }
  function compare(a, b) {
    if (typeof a !== typeof b) { return typeof a === "number" ? -1 : 1; }
    return a < b ? -1 : a > b ? 1 : 0;
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    var heads = table.tHead.rows[0].cells;
    Array.prototype.forEach.call(heads, function (head, column) {
      if (head.hasAttribute("data-fixed")) { return; }
      var button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) { button.appendChild(head.firstChild); }
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "ascending";
        Array.prototype.forEach.call(heads, function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var body = table.tBodies[0];
        Array.prototype.slice.call(body.rows).sort(function (a, b) {
          var order = compare(key(a.cells[column]), key(b.cells[column]));
          return down ? -order : order;
        }).forEach(function (row) { body.appendChild(row); });
      });
    });
  });
  var chooser = document.querySelector("select.cell-order");
  if (chooser) {
    chooser.parentNode.hidden = false;
    chooser.addEventListener("change", function () {
      document.querySelectorAll("div.gallery").forEach(function (gallery) {
        Array.prototype.slice.call(gallery.children).sort(function (a, b) {
          return a.getAttribute("data-" + chooser.value) - b.getAttribute("data-" + chooser.value);
        }).forEach(function (figure) { gallery.appendChild(figure); });
      });
    });
  }
})();
