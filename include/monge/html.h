/* One self-contained HTML page: inline style, inline pictures, nothing fetched from anywhere. */
#ifndef MONGE_HTML_H
#define MONGE_HTML_H

#include "monge/draw.h"
#include "monge/text.h"

/* Adds chars with &, <, > and quotes escaped: for text and attribute values. */
void html_add(struct text *page, const char *chars);

/* <img> of the picture as a data: URI, at `css_width` pixels at most. */
void html_picture(struct text *page, const struct picture *picture, const char *alternative);

/* Doctype, title and style, up to and with <main>. Follows the reader's light or dark setting. */
void html_begin(struct text *page, const char *title);
void html_end(struct text *page);

/* Writes the page under a temporary name beside `path` and renames it. MONGE_CANT_CREATE or MONGE_IO name the file and the reason. */
status html_write(const char *path, const struct text *page);

#endif
