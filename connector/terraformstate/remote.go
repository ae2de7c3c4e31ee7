package terraformstate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/go-json-experiment/json"

	"github.com/backstitch/backstitch/connector"
)

const (
	timeout   = 60 * time.Second
	maxStates = 100_000
	maxList   = 16 << 20 // bytes of one page of a listing
)

// remote opens the store that the setting url names.
func remote(ctx context.Context, values connector.Values) (store, error) {
	at, err := url.Parse(values["url"])
	if err != nil || at.Host == "" {
		return nil, errors.New("setting url: expected https://..., s3://BUCKET/PREFIX or gs://BUCKET/PREFIX")
	}
	if at.User != nil {
		return nil, errors.New("setting url: expected no credentials in it; there are username and password")
	}
	client := &http.Client{Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("a redirect, which is not followed since credentials would go along")
	}}
	switch at.Scheme {
	case "http", "https":
		return web{client, at, values}, nil
	case "gs":
		base := values["endpoint"]
		if base == "" {
			base = "https://storage.googleapis.com"
		}
		return google{client, strings.TrimSuffix(base, "/"), at.Host, strings.TrimPrefix(at.Path, "/"), values["token"]}, nil
	case "s3":
		return amazon(ctx, at.Host, strings.TrimPrefix(at.Path, "/"), values)
	}
	return nil, fmt.Errorf("setting url: %q is not known; expected https, s3 or gs", at.Scheme)
}

// get asks for one address.
func get(ctx context.Context, client *http.Client, at string, prepare func(*http.Request)) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, errors.New("not an address that can be asked")
	}
	prepare(request)
	answer, err := client.Do(request)
	if err != nil {
		var fault *url.Error
		if errors.As(err, &fault) {
			err = fault.Err // without the address, which is told once
		}
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("HTTP status %s", answer.Status)
	}
	return answer.Body, nil
}

// web is Terraform's HTTP backend: one address, one state.
type web struct {
	client *http.Client
	url    *url.URL
	values connector.Values
}

func (w web) list(context.Context) ([]string, error) { return []string{path.Base(w.url.Path)}, nil }

func (w web) read(ctx context.Context, _ string) (io.ReadCloser, error) {
	return get(ctx, w.client, w.url.String(), func(r *http.Request) {
		switch {
		case w.values["token"] != "":
			r.Header.Set("Authorization", "Bearer "+w.values["token"])
		case w.values["username"] != "" || w.values["password"] != "":
			r.SetBasicAuth(w.values["username"], w.values["password"])
		}
	})
}

func (w web) at(string) string { return w.url.Scheme + "://" + w.url.Host + w.url.Path }

// google is a bucket of Google Cloud Storage, through its JSON API.
type google struct {
	client               *http.Client
	base, bucket, prefix string
	token                string
}

func (g google) auth(r *http.Request) {
	if g.token != "" {
		r.Header.Set("Authorization", "Bearer "+g.token)
	}
}

func (g google) list(ctx context.Context) ([]string, error) {
	var names []string
	for token := ""; ; {
		query := url.Values{"prefix": {g.prefix}, "fields": {"items(name),nextPageToken"}}
		if token != "" {
			query.Set("pageToken", token)
		}
		body, err := get(ctx, g.client, g.base+"/storage/v1/b/"+url.PathEscape(g.bucket)+"/o?"+query.Encode(), g.auth)
		if err != nil {
			return nil, fmt.Errorf("gs://%s/%s: %w", g.bucket, g.prefix, err)
		}
		var page struct {
			Items []struct {
				Name string `json:"name"`
			} `json:"items"`
			Next string `json:"nextPageToken"`
		}
		err = json.UnmarshalRead(io.LimitReader(body, maxList), &page)
		body.Close()
		if err != nil {
			return nil, fmt.Errorf("gs://%s/%s: the list of objects is cut off or none: %w", g.bucket, g.prefix, err)
		}
		for _, item := range page.Items {
			names = append(names, item.Name)
		}
		if page.Next == "" || page.Next == token {
			return states(names, "gs://"+g.bucket+"/"+g.prefix)
		}
		token = page.Next
	}
}

func (g google) read(ctx context.Context, name string) (io.ReadCloser, error) {
	return get(ctx, g.client, g.base+"/storage/v1/b/"+url.PathEscape(g.bucket)+"/o/"+url.PathEscape(name)+"?alt=media", g.auth)
}

func (g google) at(name string) string { return "gs://" + g.bucket + "/" + name }

// bucket is a bucket of S3.
type bucket struct {
	client       *s3.Client
	name, prefix string
}

func amazon(ctx context.Context, name, prefix string, values connector.Values) (store, error) {
	var options []func(*config.LoadOptions) error
	if values["region"] != "" {
		options = append(options, config.WithRegion(values["region"]))
	}
	if (values["access-key"] == "") != (values["secret-key"] == "") {
		return nil, errors.New("settings access-key and secret-key belong together: one of them is missing")
	}
	if values["access-key"] != "" {
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(values["access-key"], values["secret-key"], values["session-token"])))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if values["endpoint"] != "" {
			o.BaseEndpoint, o.UsePathStyle = aws.String(values["endpoint"]), true
		}
	})
	return bucket{client, name, prefix}, nil
}

func (b bucket) list(ctx context.Context) ([]string, error) {
	var names []string
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &b.prefix})
	for pages.HasMorePages() && len(names) < maxStates {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("s3://%s/%s: %w", b.name, b.prefix, brief(err))
		}
		for _, object := range page.Contents {
			names = append(names, aws.ToString(object.Key))
		}
	}
	return states(names, "s3://"+b.name+"/"+b.prefix)
}

func (b bucket) read(ctx context.Context, name string) (io.ReadCloser, error) {
	answer, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &name})
	if err != nil {
		return nil, brief(err)
	}
	return answer.Body, nil
}

func (b bucket) at(name string) string { return "s3://" + b.name + "/" + name }

// brief says what S3 answered, without request numbers.
func brief(err error) error {
	var fault smithy.APIError
	if errors.As(err, &fault) {
		return fmt.Errorf("%s: %s", fault.ErrorCode(), fault.ErrorMessage())
	}
	return err
}

// states keeps the names of states, sorted.
func states(names []string, where string) ([]string, error) {
	names = slices.DeleteFunc(names, func(name string) bool { return !stateLike(path.Base(name)) })
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds no .tfstate or .json object", where)
	}
	slices.Sort(names)
	return names, nil
}
