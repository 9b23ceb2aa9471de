package formats

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
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
	"github.com/meshbench/meshbench/reports/reportstest"
)

// TestPageInABrowser opens report.html in a real Chromium, as its readers do: from the
// disk, on a screen and on a telephone, light and dark. It skips where no Chromium is
// installed. The screenshots are kept with go test -artifacts.
func TestPageInABrowser(t *testing.T) {
	browser := startBrowser(t)
	all := reportstest.Logs()
	maps.Copy(all, reportstest.RevisionLogs())
	for _, name := range []string{"whole", "oom", "cut", "revisions"} {
		dir := t.TempDir()
		plots := 9
		if name == "revisions" {
			plots = 11
		}
		if _, err := WriteAll(dir, build(t, all[name])); err != nil {
			t.Fatal(err)
		}
		for _, width := range []int64{1280, 390} {
			for _, scheme := range []string{"light", "dark"} {
				if name != "whole" && scheme == "dark" {
					continue // a browser takes its time; the colours are the same
				}
				t.Run(fmt.Sprintf("%s-%d-%s", name, width, scheme), func(t *testing.T) {
					page := open(t, browser, filepath.Join(dir, "report.html"), width, scheme)
					page.check(t, plots)
					shot := filepath.Join(t.ArtifactDir(), fmt.Sprintf("%s-%d-%s.png", name, width, scheme))
					if err := os.WriteFile(shot, page.screenshot, 0o644); err != nil {
						t.Fatal(err)
					}
					if name == "whole" {
						page.checkVerdict(t)
					}
				})
			}
		}
	}
}

// startBrowser starts a Chromium that ends with the test.
func startBrowser(t *testing.T) context.Context {
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
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return ctx
}

// opened is a page as a browser shows it.
type opened struct {
	screenshot []byte
	complaints []string // errors of the console, and requests that leave the disk
	measured   measured
}

// measured is what measure says of the page.
type measured struct {
	ScrollWidth, InnerWidth int
	Overlaps                []string // of two texts
	Outside                 []string // texts outside their plot or their cell
	Plots, Texts            int      // that were looked at
	Headline                string
	HeadlineBottom          float64 // pixels from the top
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
		Headline: headline.textContent, HeadlineBottom: headline.getBoundingClientRect().bottom, Background: style.backgroundColor, Ink: style.color,
	};
})()`

func open(t *testing.T, browser context.Context, path string, width int64, scheme string) *opened {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser) // a tab
	defer cancel()
	var p opened
	var mu sync.Mutex // events come from another goroutine
	complain := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		p.complaints = append(p.complaints, fmt.Sprintf(format, args...))
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
	if p.measured, err = chromedp.Run(ctx, chromedp.Evaluate[measured](measure)); err != nil {
		t.Fatal(err)
	}
	if p.screenshot, err = chromedp.Run(ctx, chromedp.FullScreenshot(100)); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return &p
}

// check holds the page to what holds for every report.
func (p *opened) check(t *testing.T, plots int) {
	t.Helper()
	for _, c := range p.complaints {
		t.Error(c)
	}
	m := p.measured
	if m.ScrollWidth > m.InnerWidth {
		t.Errorf("the page is %d wide on a screen of %d", m.ScrollWidth, m.InnerWidth)
	}
	if m.Plots != plots || m.Texts < 200 {
		t.Errorf("looked at %d plots and %d texts only", m.Plots, m.Texts)
	}
	for _, o := range m.Overlaps {
		t.Errorf("texts lie upon one another: %s", o)
	}
	for _, o := range m.Outside {
		t.Errorf("text outside its place: %s", o)
	}
}

// checkVerdict holds the page of a run with nothing amiss to saying so at first sight.
func (p *opened) checkVerdict(t *testing.T) {
	t.Helper()
	if m := p.measured; m.Headline != "All counts match" || m.HeadlineBottom > 300 {
		t.Errorf("the headline %q ends %g pixels from the top", m.Headline, m.HeadlineBottom)
	}
}
