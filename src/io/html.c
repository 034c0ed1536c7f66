/* The frame of a page: style, escaping, base64, and writing it whole or not at all. */
#include "monge/html.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monge/tempfile.h"

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d9dee5;--back:#fbfcfd;--card:#fff;--accent:#2f6f9f;"
    "--warn-back:#fff6e0;--warn-line:#e2b23c;--warn-ink:#6b4e00;--good:#23784d;"
    "--s0:#2f6f9f;--s1:#d1603d;--s2:#3d8f66;--s3:#8a63b0;--s4:#b8892b;--s5:#4aa3a3;--s6:#b04f74;--s7:#7c8794;--s8:#7fa8c9;--s9:#e3a98f;--"
    "s10:#9ecbb0;--s11:#c3aee0}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#343c48;--back:#14181e;--card:#1b2028;--accent:#7db7e0;"
    "--warn-back:#33290f;--warn-line:#8f6f1f;--warn-ink:#f0d58b;--good:#74c69d;"
    "--s0:#6fb1de;--s1:#ee8a68;--s2:#6cc598;--s3:#b795dc;--s4:#dcb154;--s5:#74cfcf;--s6:#dd84a6;--s7:#98a3b0;--s8:#3f7296;--s9:#a35a3d;--"
    "s10:#45805f;--s11:#785a9c}}"
    "*{box-sizing:border-box}html{scroll-behavior:smooth}"
    "body{margin:0;background:var(--back);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu "
    "Sans',sans-serif}"
    "main{max-width:1140px;margin:0 auto;padding:2.2rem 1.4rem 4rem}"
    "h1{font-size:1.75rem;line-height:1.25;margin:0 0 .3rem;letter-spacing:-.01em}"
    "h2{font-size:1.25rem;margin:3rem 0 .6rem;padding-top:1rem;border-top:1px solid var(--line);letter-spacing:-.005em}"
    "h3{font-size:1.02rem;margin:1.8rem 0 .3rem}p{margin:.5rem 0;max-width:74ch}"
    ".sub,figcaption,.note{color:var(--soft)}.note{font-size:.93rem}figcaption{font-size:.87rem;margin-top:.35rem}"
    "nav{font-size:.93rem;margin:1rem 0 1.4rem;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem}a{color:var(--accent);text-decoration:none}"
    "a:hover{text-decoration:underline}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:.8rem;margin:1.2rem 0}"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem 1rem}"
    ".tile b{display:block;font-size:1.42rem;font-weight:650;font-variant-numeric:tabular-nums;letter-spacing:-.01em;line-height:1.3}"
    ".tile span{color:var(--soft);font-size:.86rem;line-height:1.35;display:block}"
    ".warn{background:var(--warn-back);border:1px solid var(--warn-line);color:var(--warn-ink);border-radius:10px;padding:.7rem "
    "1.1rem;margin:1rem "
    "0}.warn ul{margin:.3rem 0;padding-left:1.2rem}.good{color:var(--good)}"
    ".row{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:1.1rem;margin:1rem 0;align-items:start}"
    ".row.one{max-width:560px}"
    ".row.four{grid-template-columns:repeat(auto-fit,minmax(min(100%,230px),1fr))}"
    "figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem}"
    "figure h4{margin:0 0 .5rem;font-size:.93rem;font-weight:600}"
    "img{display:block;width:100%;height:auto;border-radius:4px;image-rendering:auto}"
    "svg{display:block;width:100%;height:auto;overflow:visible;font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu "
    "Sans',sans-serif}"
    "svg text{fill:var(--soft)}svg .name{fill:var(--ink)}svg .grid{stroke:var(--line);stroke-width:1}svg "
    ".axis{stroke:var(--soft);stroke-width:1}"
    ".bar{height:10px;border-radius:3px;margin-top:.6rem}.ticks{display:flex;justify-content:space-between;font-size:.8rem;color:var(--"
    "soft);"
    "font-variant-numeric:tabular-nums}"
    ".key{display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;font-size:.87rem;color:var(--soft);margin:.2rem 0 .4rem}"
    ".key i{display:inline-block;width:1.1em;height:.62em;border-radius:2px;margin-right:.4em}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.91rem;margin:.7rem 0}"
    "th,td{padding:.32rem .8rem .32rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}"
    "th{font-weight:600;color:var(--soft);white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:"
    "nowrap}"
    "tr.on td{font-weight:650}code{font:.9em ui-monospace,'DejaVu Sans Mono',monospace}"
    "footer{margin-top:3rem;border-top:1px solid var(--line);padding-top:.8rem;color:var(--soft);font-size:.87rem}"
    "@media print{.tile,figure{break-inside:avoid}nav{display:none}}";

void html_add(struct text *page, const char *chars)
{
    for (const char *from = chars; *from;) {
        size_t plain = strcspn(from, "&<>\"'");
        text_add(page, "%.*s", (int)plain, from);
        from += plain;
        if (*from)
            text_add(page, "&#%d;", *from++);
    }
}

static char *base64(const unsigned char *bytes, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = malloc((n + 2) / 3 * 4 + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16 | (i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0) | (i + 2 < n ? bytes[i + 2] : 0);
        *to++ = digit[three >> 18];
        *to++ = digit[three >> 12 & 63];
        *to++ = i + 1 < n ? digit[three >> 6 & 63] : '=';
        *to++ = i + 2 < n ? digit[three & 63] : '=';
    }
    *to = '\0';
    return out;
}

void html_picture(struct text *page, const struct picture *picture, const char *alternative)
{
    char *encoded = base64(picture->png, picture->length);
    if (!encoded) {
        page->failed = true; /* text_take and html_write report it */
        return;
    }
    text_add(page, "<img width=\"%d\" height=\"%d\" alt=\"", picture->width, picture->height);
    html_add(page, alternative);
    text_add(page, "\" src=\"data:image/png;base64,%s\">", encoded);
    free(encoded);
}

void html_begin(struct text *page, const char *title)
{
    text_add(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                   "content=\"width=device-width,initial-scale=1\"><title>");
    html_add(page, title);
    text_add(page, "</title><style>%s</style></head>\n<body><main>\n", style);
}

void html_end(struct text *page)
{
    text_add(page, "</main></body></html>\n");
}

static status write_all(const char *name, const struct text *page)
{
    FILE *file = fopen(name, "wb");
    if (!file)
        return error_set(MONGE_CANT_CREATE, "%s cannot be created (%s); choose another folder with -o", name, strerror(errno));
    bool whole = fwrite(page->chars, 1, page->length, file) == page->length;
    whole = fflush(file) == 0 && whole && fsync(fileno(file)) == 0;
    int why = errno;
    if (fclose(file) == 0 && whole)
        return MONGE_OK;
    return error_set(MONGE_IO, "%s: cannot be written (%s); is the disk full?", name, strerror(why));
}

status html_write(const char *path, const struct text *page)
{
    if (page->failed || !page->chars)
        return error_memory("the page", (double)page->length);
    struct text name = {0};
    text_add(&name, "%s.tmp", path);
    char *temporary = text_take(&name);
    if (!temporary)
        return error_code();
    status done = tempfile_register(temporary);
    if (done == MONGE_OK)
        done = write_all(temporary, page);
    if (done == MONGE_OK && rename(temporary, path) != 0)
        done = error_set(MONGE_CANT_CREATE, "%s cannot be created (%s); choose another name with -o", path, strerror(errno));
    if (done != MONGE_OK)
        unlink(temporary);
    tempfile_forget(temporary);
    free(temporary);
    return done;
}
