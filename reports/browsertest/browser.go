// Package browsertest opens pages of reports in a real Chromium, as their readers do: from the
// disk, on a screen and on a telephone, light and dark.
package browsertest

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/meshbench/meshbench/internal/skip"
)

// Start starts a Chromium that ends with the test. It skips where none is installed.
func Start(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		skip.Missing(t, "no Chromium is installed (Debian: apt-get install chromium)")
	}
	flags := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoSandbox, // as root there is none
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.WSURLReadTimeout(2 * time.Minute), // on a busy machine
	}
	// The test's own context ends before its cleanup, which would kill Chromium. Killed, it leaves a
	// folder in the temporary one, so it is asked to end first.
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() {
		ending, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		if err := chromedp.Cancel(ending); err != nil {
			t.Errorf("ending %s: %v", path, err)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return ctx
}

// Page is a page as a browser shows it.
type Page struct {
	Screenshot []byte   // PNG, of the whole page
	Complaints []string // errors of the console, and requests that leave the disk
	Measured   Measured
}

// Measured is what is visible on the page.
type Measured struct {
	ScrollWidth, InnerWidth int
	Overlaps                []string // of two texts
	Outside                 []string // texts outside their plot or their cell
	Plots, Texts            int      // that were looked at
	Headline                string   // of the verdict; "" for none
	HeadlineBottom          float64  // pixels from the top
	Background, Ink         string
}

// measure looks at everything that is visible: whether texts lie upon one another, and
// inside what holds them.
const measure = `(() => {
	const shown = [];
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const outside = [];
	const range = document.createRange();
	for (let n = walk.nextNode(); n; n = walk.nextNode()) {
		if (!n.data.trim()) continue;
		const parent = n.parentElement;
		if (parent.closest('details:not([open])') && !parent.closest('summary')) continue;
		range.selectNodeContents(n);
		for (const r of range.getClientRects()) {
			let box = {left: r.left, right: r.right, top: r.top, bottom: r.bottom, text: n.data.trim()};
			if (box.right - box.left < 1) continue;
			const svg = parent.closest('svg');
			if (svg) {
				const s = svg.getBoundingClientRect();
				if (box.left < s.left - 1 || box.right > s.right + 1 || box.top < s.top - 1 || box.bottom > s.bottom + 1) outside.push('plot ' + svg.getAttribute('aria-label') + ': ' + box.text);
			}
			const cell = parent.closest('td,th');
			if (cell) {
				const s = cell.getBoundingClientRect();
				if (box.left < s.left - 1 || box.right > s.right + 1) outside.push('cell: ' + box.text);
			}
			const scroll = parent.closest('.scroll,pre');
			if (scroll) {
				const s = scroll.getBoundingClientRect();
				box.left = Math.max(box.left, s.left); box.right = Math.min(box.right, s.right);
				box.top = Math.max(box.top, s.top); box.bottom = Math.min(box.bottom, s.bottom);
				if (box.right <= box.left || box.bottom <= box.top) continue;
			}
			shown.push(box);
		}
	}
	shown.sort((a, b) => a.top - b.top);
	const overlaps = [];
	for (let i = 0; i < shown.length; i++) for (let j = i + 1; j < shown.length && shown[j].top < shown[i].bottom; j++) {
		const a = shown[i], b = shown[j];
		const w = Math.min(a.right, b.right) - Math.max(a.left, b.left), h = Math.min(a.bottom, b.bottom) - b.top;
		// Boxes are as high as the font's line, letters are not: a few pixels are no overlap.
		if (w > 1 && h > 4) overlaps.push(a.text + ' / ' + b.text);
	}
	const headline = document.querySelector('.verdict strong');
	const style = getComputedStyle(document.body);
	return {
		ScrollWidth: document.documentElement.scrollWidth, InnerWidth: innerWidth, Overlaps: overlaps, Outside: outside,
		Plots: [...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width > 0).length, Texts: shown.length,
		Headline: headline ? headline.textContent : '', HeadlineBottom: headline ? headline.getBoundingClientRect().bottom : 0, Background: style.backgroundColor, Ink: style.color,
	};
})()`

// Open shows a page of the disk in a window of a width in pixels and a colour scheme, light or
// dark, and measures it.
func Open(browser context.Context, t *testing.T, path string, width int64, scheme string) *Page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser) // a tab
	defer cancel()
	var p Page
	var mu sync.Mutex // events come from another goroutine
	complain := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		p.Complaints = append(p.Complaints, fmt.Sprintf(format, args...))
	}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			complain("console: %s", e.Type)
		case *runtime.EventExceptionThrown:
			complain("exception: %s", e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			complain("%s: %s", e.Entry.Level, e.Entry.Text)
		case *network.EventRequestWillBeSent:
			if url := e.Request.URL; !strings.HasPrefix(url, "file://"+path) && !strings.HasPrefix(url, "data:") {
				complain("request: %s", url)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+path)); err != nil {
		t.Fatal(err)
	}
	if p.Measured, err = chromedp.Run(ctx, chromedp.Evaluate[Measured](measure)); err != nil {
		t.Fatal(err)
	}
	if p.Screenshot, err = chromedp.Run(ctx, chromedp.FullScreenshot(100)); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return &p
}

// Check holds the page to what holds for every page: so many plots and at least so many texts
// are visible, none lies upon another or outside of its place, and nothing else is fetched.
func (p *Page) Check(t *testing.T, plots, texts int) {
	t.Helper()
	for _, c := range p.Complaints {
		t.Error(c)
	}
	m := p.Measured
	if m.ScrollWidth > m.InnerWidth {
		t.Errorf("the page is %d wide on a screen of %d", m.ScrollWidth, m.InnerWidth)
	}
	if m.Plots != plots || m.Texts < texts {
		t.Errorf("looked at %d plots and %d texts only", m.Plots, m.Texts)
	}
	for _, o := range m.Overlaps {
		t.Errorf("texts lie upon one another: %s", o)
	}
	for _, o := range m.Outside {
		t.Errorf("text outside its place: %s", o)
	}
}
