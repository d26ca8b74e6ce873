#pragma once

/* The status page, built in from the files beside this one. */
extern const char page_status_html[], page_status_css[], page_status_js[];
