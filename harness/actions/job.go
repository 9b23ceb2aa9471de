package actions

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/scenarios"
)

func job(ctx context.Context, on *On, j *scenarios.Job) error {
	spec, err := jobSpec(j.Name, j.Image, &j.JobOptions, &j.PodOptions)
	if err != nil {
		return err
	}
	_, err = on.Kube.BatchV1().Jobs(j.Namespace).Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: j.Name, Labels: scenarios.SelectorOf(j.Name, nil)},
		Spec:       spec,
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return await(ctx, on, "Job", j.Namespace, j.Name)
}

// cronJob creates a CronJob, whose Jobs start when they start.
func cronJob(ctx context.Context, on *On, j *scenarios.CronJob) error {
	spec, err := jobSpec(j.Name, j.Image, &j.JobOptions, &j.PodOptions)
	if err != nil {
		return err
	}
	utc := "Etc/UTC"
	_, err = on.Kube.BatchV1().CronJobs(j.Namespace).Create(ctx, &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: j.Name, Labels: scenarios.SelectorOf(j.Name, nil)},
		Spec: batchv1.CronJobSpec{
			Schedule: j.Schedule, TimeZone: &utc, Suspend: &j.Suspended, JobTemplate: batchv1.JobTemplateSpec{Spec: spec},
		},
	}, metav1.CreateOptions{})
	return err
}

func jobSpec(name, image string, options *scenarios.JobOptions, pods *scenarios.PodOptions) (batchv1.JobSpec, error) {
	template, err := podTemplate(name, image, pods, options.Annotate(pods.PodAnnotations()))
	if err != nil {
		return batchv1.JobSpec{}, err
	}
	template.Spec.RestartPolicy = corev1.RestartPolicy(options.RestartPolicy)
	completions, parallelism, retries := int32(options.Completions), int32(options.Parallelism), int32(options.BackoffLimit)
	return batchv1.JobSpec{Completions: &completions, Parallelism: &parallelism, BackoffLimit: &retries, Template: template}, nil
}
