// SPDX-License-Identifier: GPL-2.0
/*
 * gsboard - a board that is not there, behind the kernel's real interfaces.
 *
 * The devfreq, powercap, thermal and frequency QoS cores are the kernel's own.
 * What they ask is answered from plain variables, which are the module's
 * parameters: /sys/module/gsboard/parameters.
 */
#include <linux/cpufreq.h>
#include <linux/devfreq.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/pm_opp.h>
#include <linux/pm_qos.h>
#include <linux/powercap.h>
#include <linux/thermal.h>

/* ---- A GPU: devfreq ---------------------------------------------------- */

static char *gpu_name = "gpu";
module_param(gpu_name, charp, 0444);
MODULE_PARM_DESC(gpu_name, "name of the devfreq device");

static ulong gpu_hz[16];
static int gpu_points;
module_param_array(gpu_hz, ulong, &gpu_points, 0444);
MODULE_PARM_DESC(gpu_hz, "its table of clocks, rising");

static uint gpu_busy = 500;
module_param(gpu_busy, uint, 0644);
MODULE_PARM_DESC(gpu_busy, "its load, 0 to 1000");

static ulong gpu_now_hz;
static struct platform_device *gpu;
static struct devfreq *gpu_devfreq;

static int gpu_target(struct device *dev, unsigned long *hz, u32 flags)
{
	struct dev_pm_opp *opp = devfreq_recommended_opp(dev, hz, flags);

	if (IS_ERR(opp))
		return PTR_ERR(opp);
	gpu_now_hz = *hz = dev_pm_opp_get_freq(opp);
	dev_pm_opp_put(opp);
	return 0;
}

static int gpu_status(struct device *dev, struct devfreq_dev_status *status)
{
	status->total_time = 1000;
	status->busy_time = gpu_busy;
	status->current_frequency = gpu_now_hz;
	return 0;
}

static int gpu_current(struct device *dev, unsigned long *hz)
{
	*hz = gpu_now_hz;
	return 0;
}

static struct devfreq_dev_profile gpu_profile = {
	.polling_ms = 25,
	.target = gpu_target,
	.get_dev_status = gpu_status,
	.get_cur_freq = gpu_current,
};

static void gpu_remove(void)
{
	if (!IS_ERR_OR_NULL(gpu_devfreq))
		devfreq_remove_device(gpu_devfreq);
	dev_pm_opp_remove_all_dynamic(&gpu->dev);
	platform_device_unregister(gpu);
}

static int gpu_add(void)
{
	int i, error;

	if (!gpu_points)
		return -EINVAL;
	gpu = platform_device_register_simple(gpu_name, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(gpu))
		return PTR_ERR(gpu);
	for (i = 0; i < gpu_points; i++) {
		error = dev_pm_opp_add(&gpu->dev, gpu_hz[i], 0);
		if (error)
			goto fail;
	}
	gpu_profile.initial_freq = gpu_now_hz = gpu_hz[0];
	gpu_devfreq = devfreq_add_device(&gpu->dev, &gpu_profile, "simple_ondemand", NULL);
	error = PTR_ERR_OR_ZERO(gpu_devfreq);
	if (!error)
		return 0;
fail:
	gpu_remove();
	return error;
}

/* ---- An energy counter that wraps: powercap ---------------------------- */

static ulong energy_range_uj = U32_MAX;
module_param(energy_range_uj, ulong, 0444);
MODULE_PARM_DESC(energy_range_uj, "the counter's highest value, after which it is 0");

static DEFINE_MUTEX(energy_lock);
static ktime_t energy_since;
static u64 energy_at_since_uj;
static ulong power_uw;

/* The counter now. Parameters are 64 bits wide here: the module is for 64-bit kernels. */
static u64 energy_now_uj(void)
{
	u64 ran_us = ktime_us_delta(ktime_get(), energy_since);
	u64 sum = energy_at_since_uj + mul_u64_u64_div_u64(ran_us, power_uw, USEC_PER_SEC);
	u64 rest;

	if (!power_uw)
		return energy_at_since_uj;
	div64_u64_rem(sum, (u64)energy_range_uj + 1, &rest);
	return rest;
}

static int energy_store(const char *text, const struct kernel_param *param)
{
	ulong value;
	int error = kstrtoul(text, 0, &value);

	if (error)
		return error;
	mutex_lock(&energy_lock);
	energy_at_since_uj = value;
	energy_since = ktime_get();
	mutex_unlock(&energy_lock);
	return 0;
}

static int energy_show(char *buffer, const struct kernel_param *param)
{
	u64 now;

	mutex_lock(&energy_lock);
	now = energy_now_uj();
	mutex_unlock(&energy_lock);
	return sysfs_emit(buffer, "%llu\n", now);
}

static const struct kernel_param_ops energy_ops = { .set = energy_store, .get = energy_show };
module_param_cb(energy_uj, &energy_ops, NULL, 0644);
MODULE_PARM_DESC(energy_uj, "the counter; while it stands, it can be set above its range");

static int power_store(const char *text, const struct kernel_param *param)
{
	ulong value;
	int error = kstrtoul(text, 0, &value);

	if (error)
		return error;
	mutex_lock(&energy_lock);
	energy_at_since_uj = energy_now_uj();
	energy_since = ktime_get();
	power_uw = value;
	mutex_unlock(&energy_lock);
	return 0;
}

static const struct kernel_param_ops power_ops = { .set = power_store, .get = param_get_ulong };
module_param_cb(power_uw, &power_ops, &power_uw, 0644);
MODULE_PARM_DESC(power_uw, "what the counter counts; 0 stops it");

static int zone_energy(struct powercap_zone *zone, u64 *value)
{
	mutex_lock(&energy_lock);
	*value = energy_now_uj();
	mutex_unlock(&energy_lock);
	return 0;
}

static int zone_range(struct powercap_zone *zone, u64 *value)
{
	*value = energy_range_uj;
	return 0;
}

static int zone_release(struct powercap_zone *zone)
{
	return 0;
}

static const struct powercap_zone_ops zone_ops = {
	.get_energy_uj = zone_energy,
	.get_max_energy_range_uj = zone_range,
	.release = zone_release,
};

static int limit_get(struct powercap_zone *zone, int id, u64 *value)
{
	*value = 15000000;
	return 0;
}

static int window_get(struct powercap_zone *zone, int id, u64 *value)
{
	*value = 1000000;
	return 0;
}

static int constant_set(struct powercap_zone *zone, int id, u64 value)
{
	return 0;
}

static const char *limit_name(struct powercap_zone *zone, int id)
{
	return "long_term";
}

static const struct powercap_zone_constraint_ops limit_ops = {
	.get_power_limit_uw = limit_get,
	.set_power_limit_uw = constant_set,
	.get_time_window_us = window_get,
	.set_time_window_us = constant_set,
	.get_name = limit_name,
};

static struct powercap_control_type *rapl;
static struct powercap_zone *package;

static int package_add(void)
{
	energy_since = ktime_get();
	/* The name is that of Intel's driver, whose place this takes. */
	rapl = powercap_register_control_type(NULL, "intel-rapl", NULL);
	if (IS_ERR(rapl))
		return PTR_ERR(rapl);
	package = powercap_register_zone(NULL, rapl, "package-0", NULL, &zone_ops, 1, &limit_ops);
	if (IS_ERR(package)) {
		powercap_unregister_control_type(rapl);
		return PTR_ERR(package);
	}
	return 0;
}

static void package_remove(void)
{
	powercap_unregister_zone(rapl, package);
	powercap_unregister_control_type(rapl);
}

/* ---- A thermal zone ---------------------------------------------------- */

static char *zone_name = "zone";
module_param(zone_name, charp, 0444);
MODULE_PARM_DESC(zone_name, "type of the thermal zone, at most 19 characters");

static int temp_mc = 45000;
module_param(temp_mc, int, 0644);
MODULE_PARM_DESC(temp_mc, "its temperature in m°C");

static int temp_errno;
module_param(temp_errno, int, 0644);
MODULE_PARM_DESC(temp_errno, "the error that reading it answers, for example 11 (EAGAIN); 0: none");

static struct thermal_zone_device *thermal;

static int thermal_read(struct thermal_zone_device *zone, int *temp)
{
	if (temp_errno)
		return -temp_errno;
	*temp = temp_mc;
	return 0;
}

static struct thermal_zone_device_ops thermal_ops = { .get_temp = thermal_read };

static int thermal_add(void)
{
	thermal = thermal_zone_device_register(zone_name, 0, 0, NULL, &thermal_ops, NULL, 0, 0);
	if (IS_ERR(thermal))
		return PTR_ERR(thermal);
	return thermal_zone_device_enable(thermal);
}

/* ---- Somebody else's cap on the clock of CPU 0: frequency QoS ----------- */

static DEFINE_MUTEX(cap_lock);
static struct freq_qos_request cap;
static uint cap_khz;

static int cap_store(const char *text, const struct kernel_param *param)
{
	struct cpufreq_policy *policy;
	uint value;
	int error = kstrtouint(text, 0, &value);

	if (error)
		return error;
	mutex_lock(&cap_lock);
	if (!freq_qos_request_active(&cap)) {
		policy = cpufreq_cpu_get(0);
		if (!policy) {
			error = -ENODEV;
			goto out;
		}
		error = freq_qos_add_request(&policy->constraints, &cap, FREQ_QOS_MAX,
					     FREQ_QOS_MAX_DEFAULT_VALUE);
		cpufreq_cpu_put(policy);
	}
	if (error >= 0)
		error = freq_qos_update_request(&cap, value ? value : FREQ_QOS_MAX_DEFAULT_VALUE);
	if (error >= 0)
		cap_khz = value;
out:
	mutex_unlock(&cap_lock);
	return error < 0 ? error : 0;
}

static const struct kernel_param_ops cap_ops = { .set = cap_store, .get = param_get_uint };
module_param_cb(cap_khz, &cap_ops, &cap_khz, 0644);
MODULE_PARM_DESC(cap_khz, "highest clock of CPU 0's policy; 0: no cap");

static void cap_remove(void)
{
	if (freq_qos_request_active(&cap))
		freq_qos_remove_request(&cap);
}

/* ------------------------------------------------------------------------ */

static int __init gsboard_init(void)
{
	int error = gpu_add();

	if (error)
		return error;
	error = package_add();
	if (error)
		goto no_package;
	error = thermal_add();
	if (error)
		goto no_thermal;
	return 0;

no_thermal:
	if (!IS_ERR(thermal))
		thermal_zone_device_unregister(thermal);
	package_remove();
no_package:
	gpu_remove();
	return error;
}

static void __exit gsboard_exit(void)
{
	cap_remove();
	thermal_zone_device_unregister(thermal);
	package_remove();
	gpu_remove();
}

module_init(gsboard_init);
module_exit(gsboard_exit);
MODULE_DESCRIPTION("A board that is not there, for tests");
MODULE_LICENSE("GPL");
